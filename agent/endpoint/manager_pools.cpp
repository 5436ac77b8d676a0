// SPDX-License-Identifier: Apache-2.0
// Pools that change while the agent runs.
#include <algorithm>

#include "agent/endpoint/manager.hpp"

namespace netkite::endpoint {

Result<void> Manager::set_pools(const std::vector<Cidr>& prefixes) {
  const auto covered = [&prefixes](const Ip& address) {
    return std::ranges::any_of(prefixes, [&address](const Cidr& prefix) { return prefix.contains(address); });
  };
  const auto keeps_its_addresses = [&covered](const auto& entry) {
    return std::ranges::all_of(entry.second.addresses, covered);
  };
  const auto strangers = std::ranges::count_if(endpoints_, std::not_fn(keeps_its_addresses));
  if (strangers > 0) {
    return fail(Code::unavailable, std::to_string(strangers) + " pods have addresses of a pool that is to go");
  }
  std::vector<ipam::Pool> pools;
  for (const auto& prefix : prefixes) {
    const auto same = std::ranges::find(pools_, prefix, &ipam::Pool::prefix);
    if (same != pools_.end()) {
      pools.push_back(*same);
      continue;
    }
    auto& pool = pools.emplace_back(prefix);
    for (const auto& [attachment, endpoint] : endpoints_) {
      for (const auto& address : endpoint.addresses) {
        if (!prefix.contains(address)) continue;
        if (auto reserved = pool.reserve(address); !reserved)
          report(endpoint.host_ifname + ": " + reserved.error().message);
      }
    }
  }
  pools_ = std::move(pools);
  return {};
}

}  // namespace netkite::endpoint
