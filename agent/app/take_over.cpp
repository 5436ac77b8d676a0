// SPDX-License-Identifier: Apache-2.0
#include "agent/app/take_over.hpp"

#include <algorithm>
#include <set>

namespace netkite::app {
namespace {

std::set<Ip> addresses_of(const std::vector<endpoint::Endpoint>& pods) {
  std::set<Ip> addresses;
  for (const auto& pod : pods) {
    if (pod.state == endpoint::State::ready && !pod.stack_path) {
      addresses.insert(pod.addresses.begin(), pod.addresses.end());
    }
  }
  return addresses;
}

}  // namespace

std::vector<datapath::MaskedConnection> taken_over(const std::vector<netlink::Tracked>& tracked,
                                                   const std::vector<endpoint::Endpoint>& pods,
                                                   const std::vector<node::Uplink>& uplinks,
                                                   const config::Ports& stack_ports) {
  const auto addresses = addresses_of(pods);
  std::vector<datapath::MaskedConnection> connections;
  for (const auto& each : tracked) {
    const bool stacks_own = each.seen_port >= stack_ports.first && each.seen_port <= stack_ports.last;
    if (!each.open || stacks_own || !addresses.contains(each.source)) continue;
    const auto uplink = std::ranges::find_if(uplinks, [&](const node::Uplink& candidate) {
      return std::ranges::find(candidate.addresses, each.seen_source) != candidate.addresses.end();
    });
    if (uplink == uplinks.end()) continue;
    connections.push_back({.from = {.source = each.source,
                                    .destination = each.destination,
                                    .source_port = each.source_port,
                                    .destination_port = each.destination_port},
                           .seen_source = each.seen_source,
                           .seen_port = each.seen_port,
                           .protocol = each.protocol,
                           .ifindex = uplink->ifindex});
  }
  return connections;
}

Result<std::size_t> take_over(const config::Options& options, const std::vector<endpoint::Endpoint>& pods,
                              const std::vector<node::Uplink>& uplinks, datapath::Datapath& datapath) {
  auto socket = netlink::Socket::open(NETLINK_NETFILTER);
  if (!socket) return tl::make_unexpected(socket.error());
  const auto addresses = addresses_of(pods);
  const auto tracked =
      netlink::list_translated(*socket, [&addresses](const Ip& source) { return addresses.contains(source); });
  if (!tracked) return tl::make_unexpected(tracked.error());
  return datapath.take_over(taken_over(*tracked, pods, uplinks, config::stack_ports(options)));
}

}  // namespace netkite::app
