// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/shortfall.hpp"

#include <algorithm>
#include <cstddef>
#include <unordered_map>

namespace netkite::datapath {
namespace {

template <typename List, typename SetOf>
void sort_by_size(List& list, SetOf set_of) {
  std::unordered_map<std::uint32_t, std::size_t> sizes;
  for (const auto& each : list) ++sizes[set_of(each)];
  std::ranges::stable_sort(list, {}, [&](const auto& each) { return sizes.at(set_of(each)); });
}

}  // namespace

void Shortfall::note(const std::optional<Error>& error) {
  if (!first_) first_ = error;
}

void Shortfall::lack_backend(std::uint32_t id, std::uint32_t set) {
  backends_.insert(id);
  by_chance_.insert(set);
}

void Shortfall::lack_slot(const service::Slot& slot) {
  auto& reach = reach_.try_emplace(slot.set, slot.index).first->second;
  reach = std::min(reach, slot.index);
}

std::uint32_t Shortfall::cut(std::uint32_t set, std::uint32_t count) const {
  const auto found = reach_.find(set);
  return found == reach_.end() ? count : std::min(count, found->second);
}

service::FrontendEntry Shortfall::cut(service::FrontendEntry entry) const {
  entry.count = cut(entry.set, entry.count);
  return entry;
}

service::EntranceEntry Shortfall::cut(service::EntranceEntry entry) const {
  entry.count = cut(entry.set, entry.count);
  if (lacks_table(entry.set)) entry.table = 0;
  return entry;
}

Result<void> Shortfall::result() const {
  if (first_) return tl::make_unexpected(*first_);
  return {};
}

service::Changes fewest_first(service::Changes changes) {
  const auto named = [](const auto& each) { return each.first.set; };
  const auto led_to = [](const auto& each) { return each.second.set; };
  sort_by_size(changes.backends, led_to);
  sort_by_size(changes.slots, named);
  sort_by_size(changes.maglev, named);
  sort_by_size(changes.ranges, [](const service::Range& range) { return range.set; });
  sort_by_size(changes.frontends, led_to);
  sort_by_size(changes.entrances, led_to);
  return changes;
}

}  // namespace netkite::datapath
