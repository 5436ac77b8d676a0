// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/service_map.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>

#include "agent/datapath/abi.hpp"
#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

nk_service_address key_of(const service::Frontend& frontend) {
  nk_service_address key{};
  write_mapped(key.address, frontend.address);
  key.port = htons(frontend.port);
  key.protocol = static_cast<std::uint8_t>(frontend.protocol);
  key.led = frontend.led ? 1 : 0;
  return key;
}

nk_frontend entry_of(const service::FrontendEntry& entry) {
  return {.set = entry.set, .count = entry.count, .affinity_s = entry.affinity_s};
}

nk_entrance door_of(const service::EntranceEntry& entry) {
  return {.set = entry.set,
          .count = entry.count,
          .affinity_s = entry.affinity_s,
          .flags = (entry.keep_source ? NK_ENTRANCE_KEEP_SOURCE : 0) | (entry.ranges ? NK_ENTRANCE_RANGES : 0) |
                   (entry.table != 0 ? NK_ENTRANCE_MAGLEV : 0) | (entry.direct ? NK_ENTRANCE_DIRECT : 0),
          .table = entry.table};
}

service::EntranceEntry entrance_of(const nk_entrance& value) {
  return {.set = value.set,
          .count = value.count,
          .affinity_s = value.affinity_s,
          .keep_source = (value.flags & NK_ENTRANCE_KEEP_SOURCE) != 0,
          .ranges = (value.flags & NK_ENTRANCE_RANGES) != 0,
          .table = (value.flags & NK_ENTRANCE_MAGLEV) != 0 ? value.table : 0,
          .direct = (value.flags & NK_ENTRANCE_DIRECT) != 0};
}

constexpr std::uint32_t kSetBits = 32;
constexpr std::uint32_t kMappedBits = 96;

nk_range prefix_of(const service::Range& range) {
  nk_range key{};
  key.length = kSetBits + range.clients.length() + (range.clients.family() == Family::v4 ? kMappedBits : 0);
  key.set = htonl(range.set);
  write_mapped(key.address, range.clients.address());
  return key;
}

service::Range range_of(const nk_range& key) {
  const auto address = read_mapped(key.address);
  const auto before = kSetBits + (address.is_v4() ? kMappedBits : 0);
  const auto length = key.length - std::min(key.length, before);
  return {.set = ntohl(key.set), .clients = Cidr::of(address, length).value_or(Cidr())};
}

static_assert(service::kMaglevPiece == NK_MAGLEV_PIECE);
nk_maglev_key piece_of(const service::MaglevPiece& piece) { return {.set = piece.set, .piece = piece.piece}; }

nk_maglev places_of(const std::vector<std::uint32_t>& backends) {
  nk_maglev value{};
  std::copy_n(backends.begin(), std::min<std::size_t>(backends.size(), NK_MAGLEV_PIECE), value.backends);
  return value;
}

nk_backend value_of(const service::Backend& backend) {
  nk_backend value{};
  write_mapped(value.address, backend.address);
  value.port = htons(backend.port);
  value.set = backend.set;
  return value;
}

// Into both halves of a batch.
template <typename Key, typename Value, typename From, typename ToKey, typename ToValue>
RawMap::Refused write_all(const TypedMap<Key, Value>& map, const std::vector<From>& entries, const ToKey& to_key,
                          const ToValue& to_value) {
  std::vector<Key> keys;
  std::vector<Value> values;
  keys.reserve(entries.size());
  values.reserve(entries.size());
  for (const auto& [key, value] : entries) {
    keys.push_back(to_key(key));
    values.push_back(to_value(value));
  }
  return map.update_what_fits(keys, values);
}

RawMap::Refused write_ranges(const TypedMap<nk_range, std::uint32_t>& map, const std::vector<service::Range>& ranges) {
  std::vector<nk_range> keys;
  keys.reserve(ranges.size());
  for (const auto& each : ranges) keys.push_back(prefix_of(each));
  return map.update_what_fits(keys, std::vector<std::uint32_t>(keys.size(), 1));
}

// All that can be. The first error counts.
template <typename Key, typename Value, typename From, typename ToKey>
void erase_all(const TypedMap<Key, Value>& map, const std::vector<From>& gone, const ToKey& to_key,
               Result<void>& result) {
  for (const auto& each : gone) {
    const auto done = map.erase(to_key(each));
    if (!done && result) result = tl::make_unexpected(done.error());
  }
}

nk_slot_key slot_of(const service::Slot& slot) { return {.set = slot.set, .index = slot.index}; }
std::uint32_t same(std::uint32_t value) { return value; }

}  // namespace

Result<ServiceMap> ServiceMap::open(const MapStore& store) {
  ServiceMap map;
  Result<void> done;
  const auto open_one = [&](auto& member, std::string_view name) {
    if (!done) return;
    auto opened = std::decay_t<decltype(member)>::open(store, name);
    if (opened) {
      member = *std::move(opened);
    } else {
      done = tl::make_unexpected(opened.error());
    }
  };
  open_one(map.frontends_, kFrontends);
  open_one(map.slots_, kSlots);
  open_one(map.backends_, kBackends);
  open_one(map.entrances_, kEntrances);
  open_one(map.ranges_, kRanges);
  open_one(map.maglev_, kMaglev);
  if (!done) return tl::make_unexpected(done.error());
  return map;
}

Result<service::Table> ServiceMap::read() const {
  const auto frontends = frontends_.entries();
  if (!frontends) return tl::make_unexpected(frontends.error());
  const auto slots = slots_.entries();
  if (!slots) return tl::make_unexpected(slots.error());
  const auto backends = backends_.entries();
  if (!backends) return tl::make_unexpected(backends.error());
  service::Table table;
  for (const auto& [key, value] : *frontends) {
    table.frontends.emplace_back(
        frontend_of(key),
        service::FrontendEntry{.set = value.set, .count = value.count, .affinity_s = value.affinity_s});
  }
  for (const auto& [key, value] : *slots) {
    table.slots.emplace_back(service::Slot{.set = key.set, .index = key.index}, value);
  }
  for (const auto& [key, value] : *backends) {
    table.backends.emplace_back(
        key, service::Backend{.set = value.set, .address = read_mapped(value.address), .port = ntohs(value.port)});
  }
  if (auto done = read_outside(table); !done) return tl::make_unexpected(done.error());
  return table;
}

Result<void> ServiceMap::read_outside(service::Table& table) const {
  const auto entrances = entrances_.entries();
  if (!entrances) return tl::make_unexpected(entrances.error());
  const auto ranges = ranges_.entries();
  if (!ranges) return tl::make_unexpected(ranges.error());
  const auto maglev = maglev_.entries();
  if (!maglev) return tl::make_unexpected(maglev.error());
  for (const auto& [key, value] : *entrances) table.entrances.emplace_back(frontend_of(key), entrance_of(value));
  for (const auto& [key, value] : *ranges) table.ranges.push_back(range_of(key));
  for (const auto& [key, value] : *maglev) {
    table.maglev.emplace_back(service::MaglevPiece{.set = key.set, .piece = key.piece},
                              std::vector<std::uint32_t>(std::begin(value.backends), std::end(value.backends)));
  }
  return {};
}

// What is to go makes room for what did not fit beside it.
Result<void> ServiceMap::apply(const service::Changes& changes) const {
  auto written = write(changes);
  const auto erased = erase(changes);
  if (!written) written = write(fewest_first(changes));
  return written ? erased : written;
}

// Ranges need no care: an entrance that has some refuses whom it does not find there.
Result<void> ServiceMap::write(const service::Changes& changes) const {
  Shortfall shortfall;
  const auto backends = write_all(backends_, changes.backends, same, value_of);
  for (const auto place : backends.places) {
    shortfall.lack_backend(changes.backends[place].first, changes.backends[place].second.set);
  }
  shortfall.note(backends.first);
  write_slots(changes, shortfall);
  write_maglev(changes, shortfall);
  shortfall.note(write_ranges(ranges_, changes.ranges).first);
  const auto frontend = [&](const service::FrontendEntry& entry) { return entry_of(shortfall.cut(entry)); };
  shortfall.note(write_all(frontends_, changes.frontends, key_of, frontend).first);
  const auto entrance = [&](const service::EntranceEntry& entry) { return door_of(shortfall.cut(entry)); };
  shortfall.note(write_all(entrances_, changes.entrances, key_of, entrance).first);
  return shortfall.result();
}

void ServiceMap::write_slots(const service::Changes& changes, Shortfall& shortfall) const {
  const auto is_empty = [&](const auto& each) { return shortfall.lacks_backend(each.second); };
  auto slots = changes.slots;
  if (shortfall.is_lacking_backends()) std::erase_if(slots, is_empty);
  const auto refused = write_all(slots_, slots, slot_of, same);
  for (const auto place : refused.places) shortfall.lack_slot(slots[place].first);
  shortfall.note(refused.first);
  if (!shortfall.is_lacking_backends()) return;
  const std::unordered_set<std::uint32_t> gone(changes.gone_backends.begin(), changes.gone_backends.end());
  std::map<std::uint32_t, std::uint32_t> substitutes;
  for (const auto& [slot, id] : changes.slots) {
    if (!shortfall.lacks_backend(id)) continue;
    const auto [known, is_new] = substitutes.try_emplace(slot.set, 0);
    if (is_new) known->second = substitute(slot.set, gone);
    if (!fill(slot, known->second)) shortfall.lack_slot(slot);
  }
}

// A slot that counts already has led to a backend that is to go: till the new one fits, another one serves in its
// place.
bool ServiceMap::fill(const service::Slot& slot, std::uint32_t backend) const {
  const auto present = slots_.lookup(slot_of(slot));
  return backend != 0 && present && *present && slots_.update(slot_of(slot), backend);
}

std::uint32_t ServiceMap::substitute(std::uint32_t set, const std::unordered_set<std::uint32_t>& gone) const {
  for (std::uint32_t index = 0;; ++index) {
    const auto id = slots_.lookup({.set = set, .index = index});
    if (!id || !*id) return 0;
    if (gone.contains(**id)) continue;
    const auto backend = backends_.lookup(**id);
    if (backend && *backend && (*backend)->set == set) return **id;
  }
}

void ServiceMap::write_maglev(const service::Changes& changes, Shortfall& shortfall) const {
  auto pieces = changes.maglev;
  if (shortfall.is_lacking_backends()) {
    std::erase_if(pieces, [&](const auto& each) { return shortfall.lacks_table(each.first.set); });
  }
  const auto refused = write_all(maglev_, pieces, piece_of, places_of);
  for (const auto place : refused.places) shortfall.lack_table(pieces[place].first.set);
  shortfall.note(refused.first);
}

Result<void> ServiceMap::erase(const service::Changes& changes) const {
  Result<void> result;
  erase_all(entrances_, changes.gone_entrances, key_of, result);
  erase_all(frontends_, changes.gone_frontends, key_of, result);
  erase_all(ranges_, changes.gone_ranges, prefix_of, result);
  erase_all(maglev_, changes.gone_maglev, piece_of, result);
  erase_all(slots_, changes.gone_slots, slot_of, result);
  erase_all(backends_, changes.gone_backends, same, result);
  return result;
}

}  // namespace netkite::datapath
