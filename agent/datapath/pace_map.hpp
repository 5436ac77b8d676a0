// SPDX-License-Identifier: Apache-2.0
// How fast pods may send away from the node. Room-internal.
#pragma once

#include <functional>

#include "agent/datapath/datapath.hpp"
#include "agent/datapath/typed_map.hpp"
#include "bpf/abi/netkite.h"

namespace netkite::datapath {

class PaceMap {
 public:
  [[nodiscard]] static Result<PaceMap> open(const MapStore& store);

  // A limit that is there already goes on where it is; a device without one loses what it had.
  [[nodiscard]] Result<void> set(const EndpointDevice& device) const;
  void remove(std::uint32_t ifindex) const;
  [[nodiscard]] Result<void> verify(const EndpointDevice& device) const;  // not_found: one line
  // Entries whose device `keep` refuses.
  void purge(const std::function<bool(std::uint32_t ifindex)>& keep) const;

 private:
  TypedMap<std::uint32_t, nk_pace> map_;
};

// Of `device`, which has a limit; its turn has not come yet.
[[nodiscard]] nk_pace pace_of(const EndpointDevice& device);

}  // namespace netkite::datapath
