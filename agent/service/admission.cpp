// SPDX-License-Identifier: Apache-2.0
// Who is planned at all when services want more addresses and ports than there is room for: what cannot be written must
// not cost memory either.
#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

#include "agent/service/registry.hpp"

namespace netkite::service {
namespace {

std::size_t count_of(const std::vector<PlannedFrontend>& planned) {
  return static_cast<std::size_t>(std::ranges::count_if(planned, [](const auto& each) { return !each.frontend.led; }));
}

}  // namespace

std::vector<PlannedFrontend> Registry::plan(const Record& record) const {
  if (record.host_port) return frontends_of(*record.host_port, facts_);
  return record.service ? frontends_of(*record.service, facts_) : std::vector<PlannedFrontend>();
}

void Registry::refuse(Record& record, bool refused) {
  if (record.refused) --refused_;
  if (refused) ++refused_;
  record.refused = refused;
}

void Registry::claim(Entry& entry, std::vector<Frontend>& touched) {
  auto& record = entry.second;
  auto planned = plan(record);
  const auto wanted = count_of(planned);
  wanted_ = wanted_ - std::exchange(record.wanted, wanted) + wanted;
  // Until admit() has looked at all: what is planned never costs more memory than there may be.
  refuse(record, record.service && wanted > 0 && wanted_ > facts_.max_frontends);
  claim(entry, record.refused ? std::vector<PlannedFrontend>() : std::move(planned), touched);
}

// By size, the smallest first, so that nobody crowds out others with one service; of equals the oldest. Pods' ports are
// few.
void Registry::admit(std::vector<Frontend>& touched) {
  if (refused_ == 0 && wanted_ <= facts_.max_frontends) return;
  std::vector<Entry*> services;
  std::size_t taken = 0;
  for (auto& entry : records_) {
    if (entry.second.service) {
      services.push_back(&entry);
    } else {
      taken += entry.second.wanted;
    }
  }
  std::ranges::sort(services, {}, [](const Entry* entry) {
    const auto& [key, record] = *entry;
    return std::tuple(record.wanted, std::string_view(record.service->created), std::string_view(key));
  });
  for (auto* entry : services) {
    auto& record = entry->second;
    const bool fits = record.wanted == 0 || taken + record.wanted <= facts_.max_frontends;
    if (fits) taken += record.wanted;
    if (fits != record.refused) continue;
    mark(*entry);
    refuse(record, !fits);
    claim(*entry, fits ? plan(record) : std::vector<PlannedFrontend>(), touched);
  }
}

}  // namespace netkite::service
