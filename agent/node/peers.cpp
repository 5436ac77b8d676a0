// SPDX-License-Identifier: Apache-2.0
#include "agent/node/peers.hpp"

#include <algorithm>
#include <iterator>

#include "agent/node/overlay.hpp"
#include "agent/node/pod_device.hpp"

namespace netkite::node {
namespace {

const Ip* address_of(const config::Peer& peer, Family family) {
  const auto found = std::ranges::find(peer.addresses, family, &Ip::family);
  return found == peer.addresses.end() ? nullptr : &*found;
}

// The peer's address that carries traffic of this family, or none.
const Ip* carrier(const config::Peer& peer, Family family) {
  const Ip* same = address_of(peer, family);
  if (same != nullptr || family == Family::v6) return same;
  return address_of(peer, Family::v6);
}

// Pods of this node send there, or their traffic to the peer's pods travels to it.
bool is_needed(const Ip& address, const config::Peer& peer, const std::vector<Cidr>& pools) {
  return std::ranges::any_of(pools, [&](const Cidr& pool) {
    const Ip* carries = carrier(peer, pool.family());
    return pool.family() == address.family() || (carries != nullptr && *carries == address);
  });
}

std::uint32_t mtu_of(const Way& way, const Uplink& uplink) {
  return way.mtu == 0 ? uplink.mtu : std::min(way.mtu, uplink.mtu);
}

std::vector<Way> ways_to(const config::Peer& peer, const std::map<Ip, const Way*>& by_address) {
  std::vector<Way> ways;
  for (const auto& address : peer.addresses) {
    if (const auto way = by_address.find(address); way != by_address.end()) ways.push_back(*way->second);
  }
  return ways;
}

std::string no_uplink(const config::Peer& peer, const Ip& address) {
  return "peer " + peer.name + ": the route to " + address.to_string() + " leads over no uplink";
}

using Remotes = std::vector<datapath::Remote>;
using Problems = std::vector<std::string>;

// What all peers' prefixes are gathered from and into.
struct Gathering {
  const std::vector<Uplink>& uplinks;
  std::uint32_t overlay;  // the device's index
  Remotes& remotes;
  Problems& problems;
};

void add_native(const config::Peer& peer, const std::vector<Way>& ways, const Gathering& all) {
  // False when the way to the address leads over no uplink. ways_to_peers has spoken of addresses without a way.
  const auto add = [&](const Cidr& prefix, const Ip& address) {
    const auto way = std::ranges::find(ways, address, &Way::address);
    if (way == ways.end()) return true;
    const auto uplink = std::ranges::find(all.uplinks, way->ifindex, &Uplink::ifindex);
    if (uplink == all.uplinks.end()) return false;
    all.remotes.push_back(
        {.prefix = prefix, .ifindex = way->ifindex, .mtu = mtu_of(*way, *uplink), .nexthop = way->nexthop});
    return true;
  };
  for (const auto& address : peer.addresses) {
    if (!add(Cidr::host(address), address)) all.problems.push_back(no_uplink(peer, address));
  }
  for (const auto& range : peer.pod_ranges) {
    if (const Ip* address = carrier(peer, range.family()); address != nullptr) {
      add(range, *address);
    } else {
      all.problems.push_back("peer " + peer.name + ": pod range " + range.to_string() + " needs an " +
                             (range.family() == Family::v6 ? "IPv6 " : "") + "address of the peer");
    }
  }
}

// IPv4 takes less room.
const Way* end_of(const std::vector<Way>& ways_to_peer) {
  auto end = std::ranges::find_if(ways_to_peer, [](const Way& way) { return way.address.is_v4(); });
  if (end == ways_to_peer.end()) end = ways_to_peer.begin();
  return end == ways_to_peer.end() ? nullptr : &*end;
}

void add_tunnel(const config::Peer& peer, const std::vector<Way>& ways, const Way& end, bool beside,
                const Gathering& all) {
  const auto uplink = std::ranges::find(all.uplinks, end.ifindex, &Uplink::ifindex);
  if (beside && (uplink == all.uplinks.end() || !end.source)) return;  // nothing that the native way needs
  if (uplink == all.uplinks.end()) return all.problems.push_back(no_uplink(peer, end.address));
  if (!end.source) {
    return all.problems.push_back("peer " + peer.name + ": no address of ours leads to " + end.address.to_string());
  }
  const datapath::Remote::Tunnel tunnel{.device = all.overlay, .node = end.address, .local = *end.source};
  const auto overhead = end.address.is_v6() ? kOverhead6 : kOverhead4;
  const auto mtu = mtu_of(end, *uplink);
  const auto add = [&](const Cidr& prefix, bool own) {
    const auto same =
        std::ranges::find_if(ways, [&prefix](const Way& way) { return way.address.family() == prefix.family(); });
    all.remotes.push_back({.prefix = prefix,
                           .ifindex = end.ifindex,
                           .mtu = mtu > overhead ? mtu - overhead : 0,
                           .nexthop = end.nexthop,
                           .tunnel = tunnel,
                           .own = own,
                           .beside = beside,
                           .source = same == ways.end() ? std::nullopt : same->source});
  };
  for (const auto& address : peer.addresses) add(Cidr::host(address), true);
  if (beside) return;
  for (const auto& range : peer.pod_ranges) add(range, false);
}

}  // namespace

Result<Way> way_from(const Ip& address, const Result<netlink::Route>& route, const Links& links) {
  if (!route) return tl::make_unexpected(route.error());
  const std::string target = address.to_string();
  if (route->unreachable) return fail(Code::not_found, "no route to " + target);
  const auto link = links.find(route->ifindex);
  if (link == links.end()) return fail(Code::not_found, "the device of the route to " + target + " is gone");
  if (link->second.loopback) return fail(Code::invalid, target + " is an address of this node");
  if (is_our_device(link->second.name)) {
    return fail(Code::invalid, "the route to " + target + " leads into our own device " + link->second.name);
  }
  return Way{.address = address,
             .nexthop = route->gateway.value_or(address),
             .ifindex = route->ifindex,
             .mtu = 0,
             .source = route->preferred_source};
}

std::uint32_t configured_mtu(const std::vector<netlink::Route>& routes, const Ip& address) {
  const netlink::Route* best = nullptr;
  for (const auto& route : routes) {
    if (!route.destination.contains(address)) continue;
    const auto longer = best == nullptr || route.destination.length() > best->destination.length();
    const auto same = best != nullptr && route.destination.length() == best->destination.length();
    if (longer || (same && route.metric < best->metric)) best = &route;
  }
  return best == nullptr ? 0 : best->mtu;
}

std::vector<Way> ways_to_peers(netlink::Socket& socket, const config::Options& options, const Table& table,
                               std::vector<std::string>& problems) {
  std::vector<Way> ways;
  for (const auto& peer : options.peers) {
    std::vector<Way> found;
    Problems missing;
    for (const auto& address : peer.addresses) {
      auto way = way_from(address, netlink::resolve_route(socket, address), table.links);
      if (way) {
        way->mtu = configured_mtu(table.routes, address);
        found.push_back(*way);
      } else if (is_needed(address, peer, options.pools)) {
        missing.push_back("peer " + peer.name + ": " + way.error().message);
      }
    }
    // One end is enough for a tunnel.
    if (tunnel_to(options.routing, found) == nullptr) std::ranges::move(missing, std::back_inserter(problems));
    std::ranges::move(found, std::back_inserter(ways));
  }
  return ways;
}

const Way* tunnel_to(config::Routing routing, const std::vector<Way>& ways_to_peer) {
  if (routing == config::Routing::native) return nullptr;
  const auto* end = end_of(ways_to_peer);
  if (end == nullptr) return nullptr;
  const bool shares_a_link = end->nexthop == end->address;
  return routing == config::Routing::automatic && shares_a_link ? nullptr : end;
}

std::vector<datapath::Remote> remotes_of(const config::Options& options, const std::vector<Way>& ways,
                                         const std::vector<Uplink>& uplinks, std::uint32_t overlay,
                                         std::vector<std::string>& problems) {
  std::map<Ip, const Way*> by_address;
  for (const auto& way : ways) by_address.emplace(way.address, &way);
  Remotes remotes;
  const Gathering all{.uplinks = uplinks, .overlay = overlay, .remotes = remotes, .problems = problems};
  for (const auto& peer : options.peers) {
    const auto to_peer = ways_to(peer, by_address);
    if (const Way* end = tunnel_to(options.routing, to_peer); end != nullptr) {
      add_tunnel(peer, to_peer, *end, false, all);
    } else {
      add_native(peer, to_peer, all);
      if (const auto* beside = end_of(to_peer); beside != nullptr && options.routing == config::Routing::automatic) {
        add_tunnel(peer, to_peer, *beside, true, all);
      }
    }
  }
  std::ranges::sort(remotes);
  return remotes;
}

}  // namespace netkite::node
