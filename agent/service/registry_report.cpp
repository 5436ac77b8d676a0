// SPDX-License-Identifier: Apache-2.0
// What the registry tells people and load balancers.
#include <algorithm>
#include <set>

#include "agent/service/registry.hpp"

namespace netkite::service {

void Registry::list(const std::function<void(const Listing&)>& take) const {
  for (const auto& entry : records_) {
    const auto& [key, record] = entry;
    if ((!record.service && !record.host_port) || record.frontends.empty()) continue;
    Listing listing{.key = record.host_port ? record.host_port->pod : key, .frontends = {}};
    for (const auto& each : record.frontends) {
      if (each.frontend.led) continue;
      const bool held = holds(entry, each.frontend);
      listing.frontends.push_back(
          {.frontend = each.frontend,
           .kind = each.kind,
           .held = held,
           .access = held && each.entrance ? std::optional(each.entrance->set.scope) : std::nullopt,
           .backends = targets_of(record, each.set)});
    }
    take(listing);
  }
}

bool Registry::is_served(const Ip& address, std::uint16_t port, kube::Protocol protocol) const {
  const auto has_port = [=](const kube::EndpointPort& each) { return each.port == port && each.protocol == protocol; };
  const auto serves = [&](const kube::Endpoint& each) { return each.serving && each.address == address; };
  const auto in_slice = [&](const auto& each) {
    const auto& slice = each.second.value;
    return std::ranges::any_of(slice.ports, has_port) && std::ranges::any_of(slice.endpoints, serves);
  };
  const auto by_pod = [&](const auto& each) {
    const auto& pod = each.second.host_port;
    return pod && pod->protocol == protocol && pod->pod_port == port &&
           std::ranges::count(pod->pod_addresses, address) != 0;
  };
  return std::ranges::any_of(slices_, in_slice) || std::ranges::any_of(records_, by_pod);
}

std::string Registry::name_of(const Entry& entry) {
  const auto& [key, record] = entry;
  return record.host_port ? "pod " + record.host_port->pod : "service " + key;
}

std::map<std::uint16_t, HealthCheck> Registry::health_checks() const {
  std::map<std::uint16_t, HealthCheck> checks;
  for (const auto& [key, record] : checked_) {
    const auto& service = *record->service;
    checks.try_emplace(
        service.health_check_port,
        HealthCheck{.space = service.space, .name = service.name, .endpoints = local_endpoints(record->slices)});
  }
  return checks;
}

std::vector<std::string> Registry::problems() const {
  std::vector<std::string> lines;
  for (const auto& [frontend, holding] : frontends_) {
    if (frontend.led) continue;
    const auto* holder = holding.claims.size() > 1 ? holder_of(holding) : nullptr;
    for (const auto& claim : holding.claims) {
      if (holder == nullptr || &claim == holder) continue;
      lines.push_back(name_of(*claim.owner) + ": " + to_string(frontend) + " is held by " + name_of(*holder->owner));
    }
  }
  return lines;
}

}  // namespace netkite::service
