// SPDX-License-Identifier: Apache-2.0
#include "agent/node/peers.hpp"

#include <algorithm>

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

datapath::Remote remote(const Cidr& prefix, const Way& way, const Uplink& uplink) {
  const std::uint32_t mtu = way.mtu == 0 ? uplink.mtu : std::min(way.mtu, uplink.mtu);
  return {.prefix = prefix, .ifindex = way.ifindex, .mtu = mtu, .nexthop = way.nexthop};
}

}  // namespace

Result<Way> way_from(const Ip& address, const Result<netlink::Route>& route, const Links& links) {
  if (!route) return tl::make_unexpected(route.error());
  const std::string target = address.to_string();
  if (route->unreachable) return fail(Code::not_found, "no route to " + target);
  const auto link = links.find(route->ifindex);
  if (link == links.end()) return fail(Code::not_found, "the device of the route to " + target + " is gone");
  if (link->second.loopback) return fail(Code::invalid, target + " is an address of this node");
  if (is_pod_device(link->second.name)) {
    return fail(Code::invalid, "the route to " + target + " leads into the pod device " + link->second.name);
  }
  return Way{.address = address, .nexthop = route->gateway.value_or(address), .ifindex = route->ifindex, .mtu = 0};
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

std::vector<Way> ways_to_peers(netlink::Socket& socket, const std::vector<config::Peer>& peers, const Table& table,
                               std::vector<std::string>& problems) {
  std::vector<Way> ways;
  for (const auto& peer : peers) {
    for (const auto& address : peer.addresses) {
      auto way = way_from(address, netlink::resolve_route(socket, address), table.links);
      if (way) {
        way->mtu = configured_mtu(table.routes, address);
        ways.push_back(*way);
      } else {
        problems.push_back("peer " + peer.name + ": " + way.error().message);
      }
    }
  }
  return ways;
}

std::vector<datapath::Remote> remotes_of(const std::vector<config::Peer>& peers, const std::vector<Way>& ways,
                                         const std::vector<Uplink>& uplinks, std::vector<std::string>& problems) {
  std::map<Ip, const Way*> way_to;
  for (const auto& way : ways) way_to.emplace(way.address, &way);
  std::vector<datapath::Remote> remotes;
  for (const auto& peer : peers) {
    // False when the way to the address leads over no uplink. ways_to_peers has spoken of addresses without a way.
    const auto add = [&](const Cidr& prefix, const Ip& address) {
      const auto way = way_to.find(address);
      if (way == way_to.end()) return true;
      const auto uplink = std::ranges::find(uplinks, way->second->ifindex, &Uplink::ifindex);
      if (uplink == uplinks.end()) return false;
      remotes.push_back(remote(prefix, *way->second, *uplink));
      return true;
    };
    for (const auto& address : peer.addresses) {
      if (add(Cidr::host(address), address)) continue;
      problems.push_back("peer " + peer.name + ": the route to " + address.to_string() + " leads over no uplink");
    }
    for (const auto& range : peer.pod_ranges) {
      if (const Ip* address = carrier(peer, range.family()); address != nullptr) {
        add(range, *address);
      } else {
        problems.push_back("peer " + peer.name + ": pod range " + range.to_string() + " needs an " +
                           (range.family() == Family::v6 ? "IPv6 " : "") + "address of the peer");
      }
    }
  }
  std::ranges::sort(remotes);
  return remotes;
}

}  // namespace netkite::node
