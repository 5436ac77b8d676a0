// SPDX-License-Identifier: Apache-2.0
// Permanent neighbour entries, for devices on which nobody answers ARP or ND.
#pragma once

#include "common/netlink/link.hpp"

namespace netkite::netlink {

[[nodiscard]] Result<void> add_permanent_neighbor(Socket& socket, std::uint32_t ifindex, const Ip& address,
                                                  const Mac& mac);

}  // namespace netkite::netlink
