// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/masquerade_map.hpp"

#include <algorithm>
#include <cstring>

#include "agent/datapath/abi.hpp"
#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

constexpr unsigned kBitsOfMapping = 96;

template <typename Key, typename Value>
using MaskEntries = std::vector<std::pair<Key, Value>>;

template <typename T>
bool same_bytes(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

struct ByKeysBytes {
  template <typename T>
  bool operator()(const T& a, const T& b) const {
    return std::memcmp(&a.first, &b.first, sizeof(a.first)) < 0;
  }
};

// By bytes, each key once.
template <typename Key, typename Value>
MaskEntries<Key, Value> in_order(MaskEntries<Key, Value> entries) {
  std::ranges::sort(entries, ByKeysBytes());
  const auto rest =
      std::ranges::unique(entries, [](const auto& a, const auto& b) { return same_bytes(a.first, b.first); });
  entries.erase(rest.begin(), rest.end());
  return entries;
}

// MaskEntries of `of` that `in` has not, or, if `by_value`, has with another value. Both sorted.
template <typename Key, typename Value>
MaskEntries<Key, Value> lacking(const MaskEntries<Key, Value>& of, const MaskEntries<Key, Value>& in, bool by_value) {
  MaskEntries<Key, Value> rest;
  for (const auto& entry : of) {
    const auto found = std::ranges::lower_bound(in, entry, ByKeysBytes());
    const bool there = found != in.end() && same_bytes(found->first, entry.first);
    if (!there || (by_value && !same_bytes(found->second, entry.second))) rest.push_back(entry);
  }
  return rest;
}

template <typename Key, typename Value>
struct MaskDifference {
  MaskEntries<Key, Value> fresh, stale;
};

template <typename Key, typename Value>
Result<MaskDifference<Key, Value>> mask_difference(const TypedMap<Key, Value>& map, MaskEntries<Key, Value> wanted) {
  auto present = map.entries();
  if (!present) return tl::make_unexpected(present.error());
  const auto is = in_order(*std::move(present)), shall = in_order(std::move(wanted));
  return MaskDifference<Key, Value>{.fresh = lacking(shall, is, true), .stale = lacking(is, shall, false)};
}

template <typename Key, typename Value>
Result<void> put_all(const TypedMap<Key, Value>& map, const MaskEntries<Key, Value>& entries) {
  for (const auto& [key, value] : entries) {
    if (auto done = map.update(key, value); !done) return done;
  }
  return {};
}

template <typename Key, typename Value>
Result<void> take_out(const TypedMap<Key, Value>& map, const MaskEntries<Key, Value>& entries) {
  for (const auto& [key, value] : entries) {
    if (auto done = map.erase(key); !done) return tl::make_unexpected(done.error());
  }
  return {};
}

MaskEntries<std::uint32_t, nk_exit> exit_entries(const Masquerade& masquerade) {
  MaskEntries<std::uint32_t, nk_exit> entries;
  for (const auto& exit : masquerade.exits) {
    nk_exit value{};
    for (const auto& address : exit.addresses) {
      write_mapped(address.is_v4() ? value.address4 : value.address6, address);
    }
    value.first_port = masquerade.own_ports.first;
    value.last_port = masquerade.own_ports.last;
    value.stack_first_port = masquerade.stack_ports.first;
    value.stack_last_port = masquerade.stack_ports.last;
    entries.emplace_back(exit.ifindex, value);
  }
  return entries;
}

MaskEntries<nk_unmasked, std::uint32_t> unmasked_entries(const Masquerade& masquerade) {
  MaskEntries<nk_unmasked, std::uint32_t> entries;
  for (const auto& prefix : masquerade.direct) {
    nk_unmasked key{};
    key.length = prefix.length() + (prefix.family() == Family::v4 ? kBitsOfMapping : 0);
    write_mapped(key.address, prefix.address());
    entries.emplace_back(key, 0);
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
  const auto exits = mask_difference(exits_, exit_entries(masquerade));
  if (!exits) return tl::make_unexpected(exits.error());
  const auto unmasked = mask_difference(unmasked_, unmasked_entries(masquerade));
  if (!unmasked) return tl::make_unexpected(unmasked.error());
  if (auto done = put_all(unmasked_, unmasked->fresh); !done) return done;
  if (auto done = take_out(exits_, exits->stale); !done) return done;
  if (auto done = put_all(exits_, exits->fresh); !done) return done;
  return take_out(unmasked_, unmasked->stale);
}

}  // namespace netkite::datapath
