// SPDX-License-Identifier: Apache-2.0
#include "agent/app/membership.hpp"

#include <algorithm>
#include <functional>
#include <set>

#include "agent/config/check.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::app {
namespace {

// Prefixes that do not overlap. Ordered, so that only the neighbours of a new one can be in its way.
class Disjoint {
 public:
  [[nodiscard]] Result<void> add(const Cidr& prefix) {
    if (auto sane = config::check_pod_range(prefix); !sane) return sane;
    const auto next = taken_.lower_bound(prefix);
    if (next != taken_.end() && next->overlaps(prefix)) return overlap(prefix, *next);
    if (next != taken_.begin() && std::prev(next)->overlaps(prefix)) return overlap(prefix, *std::prev(next));
    taken_.insert(next, prefix);
    return {};
  }

 private:
  static tl::unexpected<Error> overlap(const Cidr& prefix, const Cidr& other) {
    return fail(Code::invalid, prefix.to_string() + " overlaps " + other.to_string() + " of another node");
  }
  std::set<Cidr> taken_;
};

using Named = const Nodes::value_type*;
using Owners = std::map<Ip, Named>;

// Of two objects with one address the older one is what a machine has left that was installed anew under another name.
// An object without a time (manifests have none) counts as the oldest: nothing says that it came later.
Owners owners_of(std::vector<Named> nodes) {
  std::ranges::stable_sort(nodes, std::ranges::greater(),
                           [](Named each) -> const std::string& { return each->second.created; });
  Owners owners;
  for (const auto* each : nodes) {
    for (const auto& address : each->second.addresses) owners.emplace(address, each);
  }
  return owners;
}

// By name, but last those that have lost an address: their machines have gone, and must not hold ranges against others.
// A new object alone takes no range away, or one with a mistake would cut another node off.
std::vector<Named> in_order(std::vector<Named> nodes, const Owners& owners) {
  std::ranges::stable_partition(nodes, [&owners](Named each) {
    const auto is_owned = [&](const Ip& address) { return owners.at(address) == each; };
    return std::ranges::all_of(each->second.addresses, is_owned);
  });
  return nodes;
}

}  // namespace

Result<std::vector<Cidr>> pools_of(const Nodes& nodes, const std::string& name) {
  const auto node = nodes.find(name);
  if (node == nodes.end()) {
    return fail(Code::unavailable, "the cluster has no node \"" + name + "\": node_name must be the name that the " +
                                       "kubelet has registered");
  }
  const auto& ranges = node->second.pod_ranges;
  if (ranges.empty()) {
    return fail(Code::unavailable, "node " + name + " has no podCIDR yet: the controller manager hands them out with " +
                                       "--allocate-node-cidrs=true");
  }
  std::set<Family> families;
  for (const auto& range : ranges) {
    if (auto sane = config::check_pod_range(range); !sane) return wrap(sane.error(), "node " + name + ": podCIDRs");
    if (families.insert(range.family()).second) continue;
    return fail(Code::invalid, "node " + name + ": podCIDRs: a second one of the same family, " + range.to_string());
  }
  return ranges;
}

std::vector<config::Peer> peers_of(const Nodes& nodes, const std::string& name, const std::vector<Cidr>& pools,
                                   std::vector<std::string>& problems) {
  Disjoint ranges;
  for (const auto& pool : pools) {
    if (auto added = ranges.add(pool); !added) problems.push_back("pools: " + added.error().message);
  }
  std::vector<Named> others;
  for (const auto& each : nodes) {
    if (each.first != name && wire::is_valid_name(each.first)) others.push_back(&each);
  }
  const auto owners = owners_of(others);
  std::vector<config::Peer> peers;
  for (const auto* each : in_order(others, owners)) {
    const auto& [other, node] = *each;
    config::Peer peer;
    peer.name = other;
    for (const auto& address : node.addresses) {
      const auto* owner = owners.at(address);
      const bool pod = std::ranges::any_of(pools, [&address](const Cidr& pool) { return pool.contains(address); });
      if (owner == each && !pod && config::is_node_address(address)) {
        peer.addresses.push_back(address);
      } else {
        problems.push_back("node " + other + ": address " + address.to_string() +
                           (owner == each ? " is none that a node can have" : " is that of node " + owner->first));
      }
    }
    for (const auto& range : node.pod_ranges) {
      if (auto added = ranges.add(range)) {
        peer.pod_ranges.push_back(range);
      } else {
        problems.push_back("node " + other + ": podCIDRs: " + added.error().message);
      }
    }
    // A node that has just been registered: the kubelet reports its addresses in a moment.
    if (!peer.addresses.empty()) peers.push_back(std::move(peer));
  }
  return peers;
}

}  // namespace netkite::app
