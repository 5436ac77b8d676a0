// SPDX-License-Identifier: Apache-2.0
// The ways to other nodes, native ones and tunnels. Room-internal.
#pragma once

#include <vector>

#include "agent/datapath/datapath.hpp"
#include "agent/datapath/typed_map.hpp"
#include "bpf/abi/netkite.h"

namespace netkite::datapath {

class RemoteMap {
 public:
  [[nodiscard]] static Result<RemoteMap> open(const MapStore& store);
  // Makes the maps hold exactly these; only differences are written, additions before removals where there is room.
  [[nodiscard]] Result<void> set(const std::vector<Remote>& remotes) const;

 private:
  TypedMap<nk_prefix4, nk_remote> remotes4_;
  TypedMap<nk_prefix6, nk_remote> remotes6_;
  TypedMap<nk_prefix4, nk_tunnel> tunnels4_;
  TypedMap<nk_prefix6, nk_tunnel> tunnels6_;
};

}  // namespace netkite::datapath
