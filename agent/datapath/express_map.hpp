// SPDX-License-Identifier: Apache-2.0
// The uplinks between which XDP passes translated connections on (bpf/lib/express.h). Room-internal.
#pragma once

#include <cstdint>
#include <functional>

#include "agent/datapath/typed_map.hpp"
#include "bpf/abi/netkite.h"

namespace netkite::datapath {

class ExpressMap {
 public:
  [[nodiscard]] static Result<ExpressMap> open(const MapStore& store);
  // What the device is now. Code::unsupported: its driver has no native XDP.
  [[nodiscard]] static Result<nk_uplink> read(std::uint32_t ifindex);

  // Called once the program is attached: some drivers say only then what they take. Idempotent.
  [[nodiscard]] Result<nk_uplink> add(std::uint32_t ifindex) const;
  // Nothing there: fine.
  void remove(std::uint32_t ifindex) const;
  void purge(const std::function<bool(std::uint32_t ifindex)>& keep) const;

 private:
  TypedMap<std::uint32_t, nk_uplink> map_;
};

}  // namespace netkite::datapath
