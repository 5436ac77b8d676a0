// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/service_map.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "agent/datapath/abi.hpp"
#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // ::ffff:0:0/96

void write_address(std::uint32_t (&words)[4], const Ip& address) {
  auto* bytes = reinterpret_cast<std::byte*>(words);
  if (address.family() == Family::v4) {
    std::memcpy(bytes, kMapped.data(), kMapped.size());
    bytes += kMapped.size();
  }
  std::memcpy(bytes, address.bytes().data(), address.bytes().size());
}

Ip read_address(const std::uint32_t (&words)[4]) {
  const bool mapped = std::memcmp(words, kMapped.data(), kMapped.size()) == 0;
  return mapped ? ip_of(Family::v4, &words[3]) : ip_of(Family::v6, words);
}

nk_service_address key_of(const service::Frontend& frontend) {
  nk_service_address key{};
  write_address(key.address, frontend.address);
  key.port = htons(frontend.port);
  key.protocol = static_cast<std::uint8_t>(frontend.protocol);
  return key;
}

nk_backend value_of(const service::Backend& backend) {
  nk_backend value{};
  write_address(value.address, backend.address);
  value.port = htons(backend.port);
  value.set = backend.set;
  return value;
}

// Into both halves of a batch.
template <typename Key, typename Value, typename From, typename ToKey, typename ToValue>
Result<void> write_all(const TypedMap<Key, Value>& map, const std::vector<From>& entries, const ToKey& to_key,
                       const ToValue& to_value) {
  std::vector<Key> keys;
  std::vector<Value> values;
  keys.reserve(entries.size());
  values.reserve(entries.size());
  for (const auto& [key, value] : entries) {
    keys.push_back(to_key(key));
    values.push_back(to_value(value));
  }
  return map.update_all(keys, values);
}

template <typename Key, typename Value, typename From, typename ToKey>
Result<void> erase_all(const TypedMap<Key, Value>& map, const std::vector<From>& gone, const ToKey& to_key) {
  for (const auto& each : gone) {
    if (auto done = map.erase(to_key(each)); !done) return tl::make_unexpected(done.error());
  }
  return {};
}

nk_slot_key slot_of(const service::Slot& slot) { return {.set = slot.set, .index = slot.index}; }
std::uint32_t same(std::uint32_t value) { return value; }

}  // namespace

Result<ServiceMap> ServiceMap::open(const MapStore& store) {
  ServiceMap map;
  auto frontends = decltype(map.frontends_)::open(store, kFrontends);
  if (!frontends) return tl::make_unexpected(frontends.error());
  auto slots = decltype(map.slots_)::open(store, kSlots);
  if (!slots) return tl::make_unexpected(slots.error());
  auto backends = decltype(map.backends_)::open(store, kBackends);
  if (!backends) return tl::make_unexpected(backends.error());
  map.frontends_ = *std::move(frontends);
  map.slots_ = *std::move(slots);
  map.backends_ = *std::move(backends);
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
        service::Frontend{.address = read_address(key.address),
                          .port = ntohs(key.port),
                          .protocol = static_cast<kube::Protocol>(key.protocol)},
        service::FrontendEntry{.set = value.set, .count = value.count, .affinity_s = value.affinity_s});
  }
  for (const auto& [key, value] : *slots) {
    table.slots.emplace_back(service::Slot{.set = key.set, .index = key.index}, value);
  }
  for (const auto& [key, value] : *backends) {
    table.backends.emplace_back(
        key, service::Backend{.set = value.set, .address = read_address(value.address), .port = ntohs(value.port)});
  }
  return table;
}

Result<void> ServiceMap::apply(const service::Changes& changes) const {
  const auto entry_of = [](const service::FrontendEntry& entry) {
    return nk_frontend{.set = entry.set, .count = entry.count, .affinity_s = entry.affinity_s};
  };
  if (auto done = write_all(backends_, changes.backends, same, value_of); !done) return done;
  if (auto done = write_all(slots_, changes.slots, slot_of, same); !done) return done;
  if (auto done = write_all(frontends_, changes.frontends, key_of, entry_of); !done) return done;
  if (auto done = erase_all(frontends_, changes.gone_frontends, key_of); !done) return done;
  if (auto done = erase_all(slots_, changes.gone_slots, slot_of); !done) return done;
  return erase_all(backends_, changes.gone_backends, same);
}

}  // namespace netkite::datapath
