// SPDX-License-Identifier: Apache-2.0
// Which of its addresses the node talks with by an uplink. Pure logic. Room-internal.
#pragma once

#include <cstdint>
#include <vector>

#include "common/netlink/address.hpp"
#include "common/netlink/route.hpp"

namespace netkite::node {

// At most one of each family, as the kernel would choose for whom a default route by this device leads to: the one that
// the route names, else one of the network that its gateway is in, else the first.
[[nodiscard]] std::vector<Ip> addresses_of_uplink(std::uint32_t ifindex, const std::vector<netlink::Address>& addresses,
                                                  const std::vector<netlink::Route>& routes);

}  // namespace netkite::node
