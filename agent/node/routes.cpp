// SPDX-License-Identifier: Apache-2.0
// Routes of our protocol in the main table.
#include <map>
#include <set>
#include <utility>

#include "agent/node/masquerade.hpp"
#include "agent/node/node.hpp"
#include "agent/node/overlay.hpp"
#include "agent/node/pod_device.hpp"
#include "agent/node/queues.hpp"
#include "common/netlink/route.hpp"

namespace netkite::node {
namespace {

// Pods' host routes win over it by their length; the metric leaves room for whoever wants the whole pool elsewhere.
constexpr std::uint32_t kUnreachableMetric = 1'000'000;
// What the kernel makes of metric 0 in IPv6 (IP6_RT_PRIO_USER).
constexpr std::uint32_t kDefaultMetric6 = 1024;

std::vector<netlink::Route> wanted_routes(const config::Options& options, const View& view) {
  std::map<std::uint32_t, std::uint32_t> device_mtu{{view.overlay.ifindex, view.overlay.mtu}};
  for (const auto& uplink : view.uplinks) device_mtu[uplink.ifindex] = uplink.mtu;
  std::set<Cidr> ranges;
  for (const auto& peer : options.peers) ranges.insert(peer.pod_ranges.begin(), peer.pod_ranges.end());

  std::vector<netlink::Route> routes;
  routes.reserve(options.pools.size() + view.remotes.size());
  for (const auto& pool : options.pools) {
    routes.push_back(
        {.destination = pool, .unreachable = true, .protocol = netlink::kRouteProtocol, .metric = kUnreachableMetric});
  }
  for (const auto& remote : view.remotes) {
    if (!ranges.contains(remote.prefix)) continue;  // the peer's own address: there is a route to it already
    const auto device = remote.tunnel ? remote.tunnel->device : remote.ifindex;
    const auto mtu = remote.mtu < device_mtu[device] ? remote.mtu : 0;
    if (remote.tunnel) {
      routes.push_back({.destination = remote.prefix,
                        .ifindex = device,
                        .link_scope = true,
                        .protocol = netlink::kRouteProtocol,
                        .mtu = mtu,
                        .preferred_source = remote.source});
      continue;
    }
    // The kernel's own route has named the next hop a neighbour on this device: onlink spares a second proof, which
    // gateways outside every prefix (a cloud's 169.254.1.1) would fail.
    routes.push_back({.destination = remote.prefix,
                      .ifindex = device,
                      .gateway = remote.nexthop,
                      .onlink = true,
                      .protocol = netlink::kRouteProtocol,
                      .mtu = mtu});
  }
  return routes;
}

// What the kernel tells routes of one table apart by.
using Slot = std::pair<Cidr, std::uint32_t>;

Slot slot_of(const netlink::Route& route) {
  const bool v6 = route.destination.family() == Family::v6;
  return {route.destination, route.metric == 0 && v6 ? kDefaultMetric6 : route.metric};
}

bool same_way(const netlink::Route& wanted, const netlink::Route& present) {
  if (wanted.unreachable != present.unreachable) return false;
  return wanted.unreachable || (wanted.ifindex == present.ifindex && wanted.gateway == present.gateway &&
                                wanted.mtu == present.mtu && wanted.preferred_source == present.preferred_source);
}

Result<void> apply_one(netlink::Socket& socket, const netlink::Route& wanted,
                       const std::map<Slot, netlink::Route>& present) {
  const auto ours = present.find(slot_of(wanted));
  if (ours != present.end() && same_way(wanted, ours->second)) return {};
  // Replacing asks no questions about who made the former route, so a foreign one must not be in the slot.
  auto done = ours == present.end() ? netlink::add_route(socket, wanted) : netlink::replace_route(socket, wanted);
  if (!done && done.error().code == Code::exists) {
    return fail(Code::exists, "route " + wanted.destination.to_string() +
                                  ": another program's route with the same metric is in place; it stays");
  }
  if (!done) return wrap(done.error(), "route " + wanted.destination.to_string());
  return {};
}

// The host routes of pods belong to their endpoints.
bool is_pod_route(const netlink::Route& route, const std::set<std::uint32_t>& pod_devices) {
  return route.destination.length() == route.destination.address().width() && pod_devices.contains(route.ifindex);
}

}  // namespace

Result<void> apply_routes(const config::Options& options, const View& view) {
  auto socket = netlink::Socket::open();
  if (!socket) return wrap(socket.error(), "routes");
  const auto links = netlink::list_links(*socket);
  if (!links) return wrap(links.error(), "routes");
  std::set<std::uint32_t> pod_devices;
  for (const auto& link : *links) {
    if (is_pod_device(link.name)) pod_devices.insert(link.index);
  }
  const auto list = netlink::list_routes(*socket, netlink::kRouteProtocol);
  if (!list) return wrap(list.error(), "routes");
  std::map<Slot, netlink::Route> present;
  for (const auto& route : *list) present.emplace(slot_of(route), route);

  // One route that fails must not keep the others from their places: go on, then report the first failure.
  Result<void> outcome;
  const auto note = [&](Result<void> done) {
    if (!done && outcome) outcome = std::move(done);
  };
  std::set<Slot> wanted;
  for (const auto& route : wanted_routes(options, view)) {
    note(apply_one(*socket, route, present));
    wanted.insert(slot_of(route));
  }
  for (const auto& [slot, route] : present) {
    if (!is_pod_route(route, pod_devices) && !wanted.contains(slot)) note(netlink::delete_route(*socket, route));
  }
  return outcome;
}

Result<void> remove_all(const config::Options& /*options*/) {
  auto socket = netlink::Socket::open();
  if (!socket) return wrap(socket.error(), "remove routes");
  const auto present = netlink::list_routes(*socket, netlink::kRouteProtocol);
  if (!present) return wrap(present.error(), "remove routes");
  Result<void> outcome;
  for (const auto& route : *present) {
    auto done = netlink::delete_route(*socket, route);
    if (!done && outcome) outcome = wrap(done.error(), "remove route " + route.destination.to_string());
  }
  auto overlay = remove_overlay();
  if (!overlay && outcome) outcome = overlay;
  auto queues = remove_queues();
  if (!queues && outcome) outcome = queues;
  auto table = remove_masquerade();
  if (!table && outcome) return table;
  return outcome;
}

}  // namespace netkite::node
