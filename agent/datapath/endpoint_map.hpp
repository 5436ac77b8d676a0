// SPDX-License-Identifier: Apache-2.0
// Local pods as the programs see them: by address and by host device. Room-internal.
#pragma once

#include <functional>

#include "agent/datapath/datapath.hpp"
#include "agent/datapath/typed_map.hpp"
#include "bpf/abi/netkite.h"

namespace netkite::datapath {

class EndpointMap {
 public:
  [[nodiscard]] static Result<EndpointMap> open(const MapStore& store);

  struct Passage {
    bool direct = false;  // the pod may be entered past its device
    bool hooked = false;  // programs behind ours see what it sends
  };
  // All entries of the device, or none.
  [[nodiscard]] Result<void> add(const EndpointDevice& device, Passage passage) const;
  // An address that belongs to another device by now stays.
  [[nodiscard]] Result<void> remove(const EndpointDevice& device) const;
  [[nodiscard]] Result<void> verify(const EndpointDevice& device) const;  // not_found: one line
  // Entries whose device `keep` refuses.
  [[nodiscard]] Result<void> purge(const std::function<bool(std::uint32_t ifindex)>& keep) const;

 private:
  [[nodiscard]] Result<void> add_entries(const EndpointDevice& device, Passage passage) const;

  TypedMap<std::uint32_t, nk_endpoint> v4_;
  TypedMap<nk_addr6, nk_endpoint> v6_;
  TypedMap<std::uint32_t, nk_device> devices_;
};

}  // namespace netkite::datapath
