// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/masquerade_map.hpp"

#include "agent/datapath/abi.hpp"
#include "agent/datapath/map_difference.hpp"
#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

constexpr unsigned kBitsOfMapping = 96;

template <typename Key, typename Value>
Result<void> put_all(const TypedMap<Key, Value>& map, const MapContent<Key, Value>& entries) {
  for (const auto& [key, value] : entries) {
    if (auto done = map.update(key, value); !done) return done;
  }
  return {};
}

MapContent<std::uint32_t, nk_exit> exit_entries(const Masquerade& masquerade) {
  MapContent<std::uint32_t, nk_exit> entries;
  for (const auto& exit : masquerade.exits) {
    nk_exit value{};
    for (const auto& address : exit.addresses) {
      write_mapped(address.is_v4() ? value.address4 : value.address6, address);
    }
    value.first_port = masquerade.own_ports.first;
    value.last_port = masquerade.own_ports.last;
    value.stack_first_port = masquerade.stack_ports.first;
    value.stack_last_port = masquerade.stack_ports.last;
    entries.insert_or_assign(exit.ifindex, value);
  }
  return entries;
}

MapContent<nk_unmasked, std::uint32_t> unmasked_entries(const Masquerade& masquerade) {
  MapContent<nk_unmasked, std::uint32_t> entries;
  for (const auto& prefix : masquerade.direct) {
    nk_unmasked key{};
    key.length = prefix.length() + (prefix.family() == Family::v4 ? kBitsOfMapping : 0);
    write_mapped(key.address, prefix.address());
    entries.insert_or_assign(key, 0);
  }
  return entries;
}

}  // namespace

Result<MasqueradeMap> MasqueradeMap::open(const MapStore& store) {
  MasqueradeMap map;
  auto exits = decltype(map.exits_)::open(store, kExits);
  if (!exits) return tl::make_unexpected(exits.error());
  auto unmasked = decltype(map.unmasked_)::open(store, kUnmasked);
  if (!unmasked) return tl::make_unexpected(unmasked.error());
  map.exits_ = *std::move(exits);
  map.unmasked_ = *std::move(unmasked);
  return map;
}

Result<void> MasqueradeMap::set(const Masquerade& masquerade) const {
  const auto exits = map_difference(exits_, exit_entries(masquerade));
  if (!exits) return tl::make_unexpected(exits.error());
  const auto unmasked = map_difference(unmasked_, unmasked_entries(masquerade));
  if (!unmasked) return tl::make_unexpected(unmasked.error());
  if (auto done = put_all(unmasked_, unmasked->fresh); !done) return done;
  if (auto done = exits_.erase_all(exits->stale); !done) return done;
  if (auto done = put_all(exits_, exits->fresh); !done) return done;
  return unmasked_.erase_all(unmasked->stale);
}

}  // namespace netkite::datapath
