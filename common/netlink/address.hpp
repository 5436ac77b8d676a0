// SPDX-License-Identifier: Apache-2.0
// Addresses on devices.
#pragma once

#include "common/netlink/link.hpp"

namespace netkite::netlink {

struct Address {
  std::uint32_t ifindex = 0;
  Ip address{};
  unsigned prefix_length = 32;
  // When listed: of global scope, and what new connections may begin with (neither secondary, temporary, deprecated nor
  // still to be checked for duplicates).
  bool preferred = true;
};

// IPv6 addresses are added with NODAD: a pod's address is unique by allocation.
[[nodiscard]] Result<void> add_address(Socket& socket, const Address& address);
// All addresses of the namespace, or of one device (ifindex != 0).
[[nodiscard]] Result<std::vector<Address>> list_addresses(Socket& socket, std::uint32_t ifindex = 0);

}  // namespace netkite::netlink
