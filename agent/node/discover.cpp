// SPDX-License-Identifier: Apache-2.0
// The uplinks, and what follows from them: MTU, offload sizes, the ways to the peers.
#include <algorithm>
#include <set>

#include "agent/node/node.hpp"
#include "agent/node/overlay.hpp"
#include "agent/node/peers.hpp"
#include "agent/node/pod_device.hpp"
#include "agent/node/uplink_address.hpp"
#include "common/netlink/address.hpp"

namespace netkite::node {
namespace {

constexpr std::uint32_t kDefaultMtu = 1500;     // bytes, without any uplink to follow
constexpr std::uint32_t kMaxTunnelGso = 65536;  // bytes: larger segments do not stay whole inside UDP
constexpr std::uint32_t kMinMtu6 = 1280;        // RFC 8200 section 5

Uplink uplink_of(const netlink::Link& link) {
  return {.ifindex = link.index,
          .name = link.name,
          .mtu = link.mtu,
          .gso_max_size = link.gso_max_size,
          .gro_max_size = link.gro_max_size};
}

std::vector<Uplink> named_uplinks(const std::vector<std::string>& names, const Links& links,
                                  std::vector<std::string>& problems) {
  std::vector<Uplink> uplinks;
  for (const auto& name : names) {
    const auto found = std::ranges::find_if(links, [&](const auto& entry) { return entry.second.name == name; });
    if (found == links.end()) {
      problems.push_back("uplink " + name + ": no such device");
    } else if (found->second.loopback || is_our_device(name)) {
      problems.push_back("uplink " + name + ": loopback and our own devices (nk*) cannot be uplinks");
    } else {
      if (!found->second.up) problems.push_back("uplink " + name + " is down");
      uplinks.push_back(uplink_of(found->second));
    }
  }
  return uplinks;
}

// The devices of the default routes of both families and of the routes to the peers.
std::vector<Uplink> found_uplinks(const std::vector<Way>& ways, const Table& table,
                                  std::vector<std::string>& problems) {
  std::set<std::uint32_t> devices;
  for (const auto& route : table.routes) {
    if (route.destination.length() == 0 && !route.unreachable) devices.insert(route.ifindex);
  }
  for (const auto& way : ways) devices.insert(way.ifindex);

  std::vector<Uplink> uplinks;
  for (const auto device : devices) {
    const auto link = table.links.find(device);
    if (link == table.links.end() || link->second.loopback || is_our_device(link->second.name)) continue;
    uplinks.push_back(uplink_of(link->second));
  }
  if (uplinks.empty()) {
    problems.emplace_back("no uplink: there is no default route and no route to a peer; name the devices in uplinks");
  }
  return uplinks;
}

std::uint32_t smallest(const std::vector<Uplink>& uplinks, std::uint32_t Uplink::* member) {
  const auto least = std::ranges::min_element(uplinks, {}, member);
  return least == uplinks.end() ? 0 : (*least).*member;
}

Result<Table> read_table(netlink::Socket& socket) {
  const auto links = netlink::list_links(socket);
  if (!links) return tl::make_unexpected(links.error());
  auto routes = netlink::list_routes(socket);
  if (!routes) return tl::make_unexpected(routes.error());
  std::erase_if(*routes, [](const netlink::Route& route) { return route.protocol == netlink::kRouteProtocol; });
  Table table{.links = {}, .routes = std::move(*routes)};
  for (const auto& link : *links) table.links.emplace(link.index, link);
  return table;
}

// What the overlay leaves to pods. Also where no peer needs it yet: one may come, and pods keep the MTU they were born
// with.
void fit_into_overlay(const config::Options& options, View& view) {
  const bool v6 = std::ranges::any_of(
      view.remotes, [](const datapath::Remote& remote) { return remote.tunnel && remote.tunnel->node.is_v6(); });
  const auto overhead = v6 ? kOverhead6 : kOverhead4;
  const auto uplink = smallest(view.uplinks, &Uplink::mtu);
  view.overlay.mtu = (uplink > overhead ? uplink : kDefaultMtu) - overhead;
  if (options.mtu > view.overlay.mtu) {
    view.problems.push_back("mtu: " + std::to_string(options.mtu) + " is more than the " +
                            std::to_string(view.overlay.mtu) + " bytes that fit into the overlay");
  }
  const bool pods6 = std::ranges::any_of(options.pools, [](const Cidr& pool) { return pool.family() == Family::v6; });
  if (pods6 && view.overlay.mtu < kMinMtu6) {
    view.problems.push_back("the uplinks leave " + std::to_string(view.overlay.mtu) +
                            " bytes inside the overlay, and IPv6 needs " + std::to_string(kMinMtu6));
  }
}

}  // namespace

Result<View> discover(const config::Options& options, std::uint32_t overlay) {
  auto socket = netlink::Socket::open();
  if (!socket) return wrap(socket.error(), "discover the node");
  const auto table = read_table(*socket);
  if (!table) return wrap(table.error(), "discover the node");

  View view;
  const auto ways = ways_to_peers(*socket, options, *table, view.problems);
  view.uplinks = options.uplinks.empty() ? found_uplinks(ways, *table, view.problems)
                                         : named_uplinks(options.uplinks, table->links, view.problems);
  const auto addresses = netlink::list_addresses(*socket);
  if (!addresses) return wrap(addresses.error(), "discover the node");
  for (auto& uplink : view.uplinks) {
    uplink.addresses = addresses_of_uplink(uplink.ifindex, *addresses, table->routes);
  }
  view.overlay.ifindex = overlay;
  view.remotes = remotes_of(options, ways, view.uplinks, overlay, view.problems);
  view.pod_mtu = smallest(view.uplinks, &Uplink::mtu);
  if (view.pod_mtu == 0) view.pod_mtu = kDefaultMtu;
  view.gso_max_size = smallest(view.uplinks, &Uplink::gso_max_size);
  view.gro_max_size = smallest(view.uplinks, &Uplink::gro_max_size);
  if (config::has_overlay(options)) {
    fit_into_overlay(options, view);
    view.pod_mtu = view.overlay.mtu;
    view.gso_max_size = std::min(view.gso_max_size, kMaxTunnelGso);
    view.headroom = kOverhead6;
  }
  if (options.mtu != 0) view.pod_mtu = options.mtu;
  return view;
}

}  // namespace netkite::node
