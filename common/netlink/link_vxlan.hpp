// SPDX-License-Identifier: Apache-2.0
// VXLAN devices whose programs say for each packet where it goes (collect-metadata, "external" in iproute2's words).
#pragma once

#include "common/netlink/link.hpp"

namespace netkite::netlink {

struct VxlanDevice {
  std::string name{};
  std::uint16_t port = 0;    // UDP, taken when the device comes up: change_link() fails with EADDRINUSE then
  std::uint32_t mtu = 1500;  // bytes
  Mac mac{};
};

// Down, without neighbours (IFF_NOARP), groups, learning and flooding.
[[nodiscard]] Result<void> create_vxlan(Socket& socket, const VxlanDevice& device);

}  // namespace netkite::netlink
