// SPDX-License-Identifier: Apache-2.0
// Unicast and unreachable routes of the main table.
#pragma once

#include "common/netlink/link.hpp"

namespace netkite::netlink {

// Our own number in rtm_protocol (from the range that linux/rtnetlink.h leaves to user space): clean-up touches no
// other.
inline constexpr std::uint8_t kRouteProtocol = 178;

struct Route {
  Cidr destination{};
  std::uint32_t ifindex = 0;    // 0 with `unreachable`
  std::optional<Ip> gateway{};  // may be of the other family (RTA_VIA)
  bool onlink = false;          // the gateway need not be covered by a route
  bool link_scope = false;      // RT_SCOPE_LINK: directly on the device
  bool unreachable = false;     // answer with ICMP unreachable
  std::uint8_t protocol = 4;    // RTPROT_STATIC
  std::uint32_t mtu = 0;        // RTAX_MTU, 0: none
  std::uint32_t metric = 0;     // RTA_PRIORITY, 0: the kernel's default
  std::optional<Ip> preferred_source{};
};

[[nodiscard]] Result<void> add_route(Socket& socket, const Route& route);  // exists: Code::exists
[[nodiscard]] Result<void> replace_route(Socket& socket, const Route& route);
[[nodiscard]] Result<void> delete_route(Socket& socket, const Route& route);  // gone already: success
// Main-table unicast and unreachable routes of both families, one for each next hop; protocol 0: any. IPv6 has no
// scope, so `link_scope` is never set there.
[[nodiscard]] Result<std::vector<Route>> list_routes(Socket& socket, std::uint8_t protocol = 0);
// What the kernel would do with a packet to `destination` (RTM_GETROUTE): device and gateway; not_found without a
// route.
[[nodiscard]] Result<Route> resolve_route(Socket& socket, const Ip& destination);

}  // namespace netkite::netlink
