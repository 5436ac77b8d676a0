// SPDX-License-Identifier: Apache-2.0
#include "agent/service/compiler.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

namespace netkite::service {
namespace {

class Planner {
 public:
  Planner(const kube::Service& service, const Facts& facts) : service_(service), facts_(facts) {}

  void add(const std::vector<Ip>& addresses, Kind kind) {
    for (const auto& port : service_.ports) {
      const auto number = kind == Kind::node_port ? port.node_port : port.port;
      for (const auto& address : addresses) {
        if (number != 0 && has_family(address.family())) add({address, number, port.protocol}, kind, port);
      }
    }
  }
  [[nodiscard]] std::vector<PlannedFrontend> take() { return std::move(planned_); }

 private:
  [[nodiscard]] bool has_family(Family family) const {
    return std::ranges::find(service_.cluster_ips, family, &Ip::family) != service_.cluster_ips.end();
  }
  void add(const Frontend& frontend, Kind kind, const kube::ServicePort& port) {
    if (!seen_.insert(frontend).second) return;
    const bool local = kind == Kind::cluster_ip && service_.internal_local;
    planned_.push_back({.frontend = frontend,
                        .kind = kind,
                        .set = {.port = port.port,
                                .protocol = frontend.protocol,
                                .family = frontend.address.family(),
                                .scope = local ? Scope::local : Scope::cluster},
                        .entrance = {}});
    if (kind != Kind::cluster_ip && port.protocol != kube::Protocol::sctp) add_entrance(planned_.back());
  }
  void add_entrance(PlannedFrontend& planned) {
    auto set = planned.set;
    set.scope = service_.external_local ? Scope::local : Scope::cluster;
    // An address may be written among the external ones, too: that must not open it. Balancers that run on the nodes
    // have the nodes' addresses, whose NodePorts are others' all the same.
    const auto& balanced = service_.load_balancer_ips;
    const bool bound =
        planned.kind != Kind::node_port && std::ranges::find(balanced, planned.frontend.address) != balanced.end();
    planned.entrance = Entrance{.set = set, .ranges = bound && !ranges_of(service_, set).empty()};
    if (facts_.overlay && set.scope == Scope::cluster) {
      add_led(planned.frontend, planned.kind, set, planned.entrance->ranges);
    }
  }
  void add_led(Frontend frontend, Kind kind, const SetKey& set, bool ranges) {
    frontend.led = true;
    auto local = set;
    local.scope = Scope::local;
    planned_.push_back(
        {.frontend = frontend, .kind = kind, .set = set, .entrance = Entrance{.set = local, .ranges = ranges}});
  }

  const kube::Service& service_;
  const Facts& facts_;
  std::vector<PlannedFrontend> planned_;
  std::set<Frontend> seen_;
};

// An endpoint that has the port in question.
struct Candidate {
  const kube::EndpointSlice* slice;
  const kube::Endpoint* endpoint;
  std::uint16_t port;
};
using Candidates = std::vector<Candidate>;

Candidates candidates_of(const kube::ServicePort& port, Slices slices, const SetKey& set) {
  Candidates candidates;
  for (const auto* slice : slices) {
    if (slice->family != set.family) continue;
    for (const auto& each : slice->ports) {
      if (each.name != port.name || each.protocol != port.protocol) continue;
      for (const auto& endpoint : slice->endpoints) {
        if (set.scope == Scope::local && !endpoint.local) continue;
        candidates.push_back({slice, &endpoint, each.port});
      }
    }
  }
  return candidates;
}

template <typename Predicate>
Candidates those(const Candidates& candidates, Predicate predicate) {
  Candidates result;
  std::ranges::copy_if(candidates, std::back_inserter(result), predicate);
  return result;
}

bool is_for(const Candidate& candidate, const std::string& zone) {
  const auto& zones = candidate.slice->zones;
  const auto place = std::ranges::find(zones, zone) - zones.begin();
  const auto bit = static_cast<std::size_t>(place);
  return bit < zones.size() && (candidate.endpoint->zones & (1U << bit)) != 0;
}

// Those that are meant for us, if all are meant for somebody.
template <typename Hinted, typename Ours>
Candidates meant(const Candidates& candidates, Hinted hinted, Ours ours) {
  return std::ranges::all_of(candidates, hinted) ? those(candidates, ours) : Candidates();
}

Candidates near(const Candidates& candidates, const std::string& zone) {
  auto ours = meant(
      candidates, [](const Candidate& each) { return each.endpoint->for_nodes; },
      [](const Candidate& each) { return each.endpoint->for_us; });
  if (ours.empty() && !zone.empty()) {
    ours = meant(
        candidates, [](const Candidate& each) { return each.endpoint->zones != 0; },
        [&zone](const Candidate& each) { return is_for(each, zone); });
  }
  return ours.empty() ? candidates : ours;
}

// Hints do not count among those that end.
Candidates choose(const Candidates& candidates, bool publish_not_ready, Scope scope, const std::string& zone) {
  const auto ready = [=](const Candidate& each) { return publish_not_ready || each.endpoint->ready; };
  auto chosen = those(candidates, ready);
  if (scope == Scope::cluster) chosen = near(chosen, zone);
  if (!chosen.empty()) return chosen;
  return those(candidates, [](const Candidate& each) { return each.endpoint->serving && each.endpoint->terminating; });
}

State state_of(const kube::Endpoint& endpoint) {
  if (endpoint.terminating) return State::terminating;
  return endpoint.ready ? State::ready : State::not_ready;
}

}  // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::cluster_ip:
      return "ClusterIP";
    case Kind::node_port:
      return "NodePort";
    case Kind::host_port:
      return "HostPort";
    case Kind::external_ip:
      return "ExternalIP";
    case Kind::load_balancer:
      return "LoadBalancer";
  }
  return "";
}

std::string_view to_string(State state) {
  switch (state) {
    case State::ready:
      return "ready";
    case State::not_ready:
      return "not ready";
    case State::terminating:
      return "terminating";
  }
  return "";
}

std::vector<PlannedFrontend> frontends_of(const kube::Service& service, const Facts& facts) {
  Planner planner(service, facts);
  planner.add(service.cluster_ips, Kind::cluster_ip);
  planner.add(facts.addresses, Kind::node_port);
  if (facts.external_ips) planner.add(service.external_ips, Kind::external_ip);
  planner.add(service.load_balancer_ips, Kind::load_balancer);
  return planner.take();
}

std::vector<PlannedFrontend> frontends_of(const HostPort& host_port, const Facts& facts) {
  const auto& wanted = host_port.address;
  const bool is_one = wanted && !wanted->is_unspecified();
  std::vector<PlannedFrontend> planned;
  for (const auto& address : is_one ? std::vector{*wanted} : facts.addresses) {
    const SetKey set{
        .port = host_port.port, .protocol = host_port.protocol, .family = address.family(), .scope = Scope::local};
    if ((wanted && wanted->family() != set.family) || targets_of(host_port, set).empty()) continue;
    planned.push_back({.frontend = {address, host_port.port, host_port.protocol},
                       .kind = Kind::host_port,
                       .set = set,
                       .entrance = Entrance{.set = set}});
  }
  return planned;
}

std::vector<Target> targets_of(const HostPort& host_port, const SetKey& set) {
  const auto address = std::ranges::find(host_port.pod_addresses, set.family, &Ip::family);
  if (address == host_port.pod_addresses.end()) return {};
  return {{.address = *address, .port = host_port.pod_port}};
}

std::vector<Target> targets_of(const kube::Service& service, Slices slices, const SetKey& set,
                               const std::string& zone) {
  const auto port = std::ranges::find_if(service.ports, [&set](const kube::ServicePort& each) {
    return each.port == set.port && each.protocol == set.protocol;
  });
  if (port == service.ports.end()) return {};
  const auto chosen = choose(candidates_of(*port, slices, set), service.publish_not_ready, set.scope, zone);

  std::vector<Target> targets;
  targets.reserve(chosen.size());
  for (const auto& each : chosen) {
    targets.push_back({.address = each.endpoint->address, .port = each.port, .state = state_of(*each.endpoint)});
  }
  // The best state comes first, and stays.
  std::ranges::sort(targets);
  const auto same = [](const Target& a, const Target& b) { return a.address == b.address && a.port == b.port; };
  const auto [first, last] = std::ranges::unique(targets, same);
  targets.erase(first, last);
  return targets;
}

std::vector<Cidr> ranges_of(const kube::Service& service, const SetKey& set) {
  std::vector<Cidr> ranges;
  std::ranges::copy_if(service.source_ranges, std::back_inserter(ranges),
                       [&set](const Cidr& each) { return each.family() == set.family; });
  std::ranges::sort(ranges);
  const auto [first, last] = std::ranges::unique(ranges);
  ranges.erase(first, last);
  return ranges;
}

std::size_t local_endpoints(Slices slices) {
  std::map<Family, std::set<Ip>> addresses;
  for (const auto* slice : slices) {
    for (const auto& each : slice->endpoints) {
      if (each.local && each.ready) addresses[slice->family].insert(each.address);
    }
  }
  std::size_t most = 0;
  for (const auto& [family, ready] : addresses) most = std::max(most, ready.size());
  return most;
}

}  // namespace netkite::service
