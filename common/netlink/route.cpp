// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/route.hpp"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

#include "common/netlink/attributes.hpp"
#include "common/netlink/dump.hpp"

namespace netkite::netlink {
namespace {

Message unicast(int type, int flags, const Route& route) {
  rtmsg header{};
  header.rtm_family = static_cast<std::uint8_t>(route.destination.address().af());
  header.rtm_dst_len = static_cast<std::uint8_t>(route.destination.length());
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = route.protocol;
  header.rtm_scope = route.link_scope ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  if (type == RTM_DELROUTE) header.rtm_scope = RT_SCOPE_NOWHERE;  // any
  header.rtm_type = route.unreachable ? RTN_UNREACHABLE : RTN_UNICAST;
  header.rtm_flags = route.onlink ? RTNH_F_ONLINK : 0U;
  Message message(type, flags);
  message.header(header);
  if (route.destination.length() != 0) message.put_ip(RTA_DST, route.destination.address());
  return message;
}

void put_gateway(Message& message, const Route& route) {
  if (!route.gateway) return;
  if (route.gateway->family() == route.destination.family()) {
    message.put_ip(RTA_GATEWAY, *route.gateway);
    return;
  }
  struct {
    std::uint16_t family;
    std::array<std::uint8_t, 16> address;
  } via{.family = static_cast<std::uint16_t>(route.gateway->af()), .address = {}};
  const auto bytes = route.gateway->bytes();
  std::memcpy(via.address.data(), bytes.data(), bytes.size());
  message.put(RTA_VIA, &via, sizeof(via.family) + bytes.size());
}

Result<void> change(Socket& socket, int type, int flags, const Route& route) {
  Message message = unicast(type, flags, route);
  if (route.ifindex != 0) message.put_u32(RTA_OIF, route.ifindex);
  put_gateway(message, route);
  if (route.metric != 0) message.put_u32(RTA_PRIORITY, route.metric);
  if (route.preferred_source) message.put_ip(RTA_PREFSRC, *route.preferred_source);
  if (route.mtu != 0) {
    const Message::Nest metrics(message, RTA_METRICS);
    message.put_u32(RTAX_MTU, route.mtu);
  }
  return socket.request(message,
                        (type == RTM_DELROUTE ? "delete route " : "add route ") + route.destination.to_string());
}

// RTA_GATEWAY, or RTA_VIA: a 16-bit family, then the address.
std::optional<Ip> gateway_of(const Attributes& attributes) {
  if (auto gateway = attributes.ip(RTA_GATEWAY)) return gateway;
  const auto via = attributes.find(RTA_VIA);
  if (!via || via->size() < sizeof(std::uint16_t)) return std::nullopt;
  const auto ip = Ip::from_bytes(via->subspan(sizeof(std::uint16_t)));
  return ip ? std::optional(*ip) : std::nullopt;
}

// Appends one route a next hop of RTA_MULTIPATH: struct rtnexthop, each with its own attributes.
void split_next_hops(std::span<const std::byte> hops, const Route& route, std::vector<Route>& list) {
  rtnexthop hop{};
  while (hops.size() >= sizeof(hop)) {
    std::memcpy(&hop, hops.data(), sizeof(hop));
    if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > hops.size()) return;
    Route one = route;
    one.ifindex = static_cast<std::uint32_t>(hop.rtnh_ifindex);
    one.gateway = gateway_of(Attributes(hops.subspan(sizeof(hop), hop.rtnh_len - sizeof(hop))));
    one.onlink = (hop.rtnh_flags & RTNH_F_ONLINK) != 0;
    list.push_back(one);
    hops = hops.subspan(std::min<std::size_t>(RTNH_ALIGN(hop.rtnh_len), hops.size()));
  }
}

Ip unspecified(std::uint8_t family) { return family == AF_INET6 ? Ip::v6({}) : Ip(); }

// Appends the route of an RTM_NEWROUTE message, in every table.
void parse_route(const nlmsghdr& message, std::vector<Route>& list) {
  const auto parsed = parse<rtmsg>(message);
  if (message.nlmsg_type != RTM_NEWROUTE || !parsed) return;
  const auto& [header, attributes] = *parsed;
  const auto destination =
      Cidr::of(attributes.ip(RTA_DST).value_or(unspecified(header.rtm_family)), header.rtm_dst_len);
  if (!destination) return;
  const bool unreachable =
      header.rtm_type == RTN_UNREACHABLE || header.rtm_type == RTN_BLACKHOLE || header.rtm_type == RTN_PROHIBIT;
  const Route route{
      .destination = *destination,
      // IPv6 hangs its unreachable routes on the loopback device.
      .ifindex = unreachable ? 0 : attributes.value<std::uint32_t>(RTA_OIF).value_or(0),
      .gateway = gateway_of(attributes),
      .onlink = (header.rtm_flags & RTNH_F_ONLINK) != 0,
      .link_scope = header.rtm_scope == RT_SCOPE_LINK,
      .unreachable = unreachable,
      .protocol = header.rtm_protocol,
      .mtu = attributes.nested(RTA_METRICS).value<std::uint32_t>(RTAX_MTU).value_or(0),
      .metric = attributes.value<std::uint32_t>(RTA_PRIORITY).value_or(0),
      .preferred_source = attributes.ip(RTA_PREFSRC),
  };
  if (const auto hops = attributes.find(RTA_MULTIPATH)) return split_next_hops(*hops, route, list);
  list.push_back(route);
}

// The main table's routes of one family and type.
Result<std::vector<Route>> list_family(Socket& socket, int family, std::uint8_t protocol) {
  rtmsg header{};
  header.rtm_family = static_cast<std::uint8_t>(family);
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = protocol;
  Message message(RTM_GETROUTE, NLM_F_DUMP);
  message.header(header);
  auto list = dump<Route>(socket, message, "list routes", [](const nlmsghdr& answer, std::vector<Route>& routes) {
    const auto parsed = parse<rtmsg>(answer);
    const bool wanted =
        parsed && (parsed->header.rtm_type == RTN_UNICAST || parsed->header.rtm_type == RTN_UNREACHABLE);
    if (wanted) parse_route(answer, routes);
  });
  if (list) return list;
  // A namespace that never had an IPv4 route has no table yet; a kernel without IPv6 has no routes of it.
  const int error = list.error().os_error;
  if (error == ENOENT || error == EAFNOSUPPORT || error == EOPNOTSUPP) return std::vector<Route>{};
  return list;
}

}  // namespace

Result<void> add_route(Socket& socket, const Route& route) {
  return change(socket, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route);
}

Result<void> replace_route(Socket& socket, const Route& route) {
  return change(socket, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
}

Result<void> delete_route(Socket& socket, const Route& route) {
  auto deleted = change(socket, RTM_DELROUTE, 0, route);
  if (!deleted && deleted.error().code == Code::not_found) return {};
  return deleted;
}

Result<std::vector<Route>> list_routes(Socket& socket, std::uint8_t protocol) {
  auto routes = list_family(socket, AF_INET, protocol);
  if (!routes) return routes;
  auto more = list_family(socket, AF_INET6, protocol);
  if (!more) return more;
  routes->insert(routes->end(), more->begin(), more->end());
  return routes;
}

Result<Route> resolve_route(Socket& socket, const Ip& destination) {
  rtmsg header{};
  header.rtm_family = static_cast<std::uint8_t>(destination.af());
  header.rtm_dst_len = static_cast<std::uint8_t>(destination.width());
  Message message(RTM_GETROUTE, 0);
  message.header(header);
  message.put_ip(RTA_DST, destination);
  const std::string what = "resolve route to " + destination.to_string();
  std::vector<Route> routes;
  auto done = socket.query(message, what, [&routes](const nlmsghdr& answer) { parse_route(answer, routes); });
  const int error = done ? 0 : done.error().os_error;
  // IPv4 answers a missing or unreachable route with an error, IPv6 with an unreachable route.
  if (error == ENETUNREACH || error == EHOSTUNREACH || (done && (routes.empty() || routes.front().unreachable))) {
    return tl::make_unexpected(
        Error{.code = Code::not_found, .os_error = error, .message = "no route to " + destination.to_string()});
  }
  if (!done) return tl::make_unexpected(std::move(done.error()));
  return routes.front();
}

}  // namespace netkite::netlink
