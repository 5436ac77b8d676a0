// SPDX-License-Identifier: Apache-2.0
// From the peers of the configuration to the ways that the kernel's routes give to them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/config/options.hpp"
#include "agent/datapath/datapath.hpp"
#include "agent/node/node.hpp"
#include "common/netlink/route.hpp"

namespace netkite::node {

using Links = std::map<std::uint32_t, netlink::Link>;  // by index

// What the kernel has now.
struct Table {
  Links links;
  std::vector<netlink::Route> routes;  // the main table's, without ours: they say nothing about the node's own network
};

// How the kernel reaches one address of a peer.
struct Way {
  Ip address;  // the peer's
  Ip nexthop;  // the gateway, or the peer itself where it shares a link with us
  std::uint32_t ifindex = 0;
  std::uint32_t mtu = 0;       // bytes, as configured on the route; 0: the device's
  std::optional<Ip> source{};  // the address of this node that the kernel sends from
};

// Reads the kernel's answer to "route get address" as a way. The error says why there is none.
[[nodiscard]] Result<Way> way_from(const Ip& address, const Result<netlink::Route>& route, const Links& links);

// The MTU that the main table's route to `address` is configured with, 0 for none. The kernel's answer to "route get"
// is no source for it: that one holds what path MTU discovery has learned for the moment.
[[nodiscard]] std::uint32_t configured_mtu(const std::vector<netlink::Route>& routes, const Ip& address);

// The way to every address of every peer; a problem line for each address that has none and that is needed.
[[nodiscard]] std::vector<Way> ways_to_peers(netlink::Socket& socket, const config::Options& options,
                                             const Table& table, std::vector<std::string>& problems);

// The end of the tunnel to a peer, by the ways to its addresses: IPv4, which takes less room, else IPv6. Null: the peer
// is reached natively, or not at all.
[[nodiscard]] const Way* tunnel_to(config::Routing routing, const std::vector<Way>& ways_to_peer);

// The prefixes of all peers (pod ranges, and the nodes' own addresses), each with its way, sorted by prefix.
// IPv4 ranges take the way to the peer's IPv4 address, or the IPv6 one of a peer that has no IPv4 address; IPv6 cannot
// be sent to an IPv4 neighbour. Everything of a peer that is reached by the overlay takes the one tunnel. With
// automatic routing the addresses of a peer that is reached natively have a tunnel beside. What is left out becomes a
// problem line. `overlay`: the device's index.
[[nodiscard]] std::vector<datapath::Remote> remotes_of(const config::Options& options, const std::vector<Way>& ways,
                                                       const std::vector<Uplink>& uplinks, std::uint32_t overlay,
                                                       std::vector<std::string>& problems);

}  // namespace netkite::node
