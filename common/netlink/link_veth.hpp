// SPDX-License-Identifier: Apache-2.0
// veth pairs.
#pragma once

#include "common/netlink/link.hpp"

namespace netkite::netlink {

struct VethPair {
  std::string host_name{};
  std::string pod_name{};
  int pod_netns_fd = -1;           // borrowed; the pod's end is created in it under its final name. -1: this namespace
  std::uint32_t mtu = 1500;        // bytes, both ends
  std::uint32_t gso_max_size = 0;  // bytes, both ends; 0: the kernel's default
  std::uint32_t gro_max_size = 0;
  std::optional<Mac> host_mac{}, pod_mac{};
};

// Both ends are created down.
[[nodiscard]] Result<void> create_veth(Socket& socket, const VethPair& pair);

}  // namespace netkite::netlink
