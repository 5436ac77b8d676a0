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

bool Registry::serves(const Frontend& asked, const Ip& address, std::uint16_t port) const {
  const auto found = frontends_.find(asked);
  const auto* holder = found == frontends_.end() ? nullptr : holder_of(found->second);
  if (holder == nullptr) return false;
  const auto& record = holder->owner->second;
  if (const auto& pod = record.host_port) {
    return pod->pod_port == port && std::ranges::count(pod->pod_addresses, address) != 0;
  }
  const auto has_port = [&](const kube::EndpointPort& each) {
    return each.port == port && each.protocol == asked.protocol;
  };
  // With publishNotReadyAddresses one is ready that does not serve.
  const auto is_there = [&](const kube::Endpoint& each) {
    return each.address == address && (each.serving || each.ready);
  };
  return std::ranges::any_of(record.slices, [&](const kube::EndpointSlice* slice) {
    return std::ranges::any_of(slice->ports, has_port) && std::ranges::any_of(slice->endpoints, is_there);
  });
}

std::string Registry::name_of(const Entry& entry) {
  const auto& [key, record] = entry;
  return record.host_port ? "pod " + record.host_port->pod : "service " + key;
}

std::map<std::uint16_t, HealthCheck> Registry::health_checks() const {
  std::map<std::uint16_t, HealthCheck> checks;
  for (const auto& [key, record] : checked_) {
    const auto& service = *record->service;
    checks.try_emplace(service.health_check_port,
                       HealthCheck{.space = service.space,
                                   .name = service.name,
                                   .endpoints = record->refused ? 0 : local_endpoints(record->slices)});
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
  if (refused_ == 0) return lines;
  for (const auto& entry : records_) {
    const auto& record = entry.second;
    if (!record.refused) continue;
    lines.push_back(name_of(entry) + " has none of its " + std::to_string(record.wanted) +
                    " addresses and ports: with smaller services' there is no room (services.max_frontends is " +
                    std::to_string(facts_.max_frontends) + ")");
  }
  return lines;
}

}  // namespace netkite::service
