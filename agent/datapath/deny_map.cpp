// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/deny_map.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <tuple>

#include "agent/datapath/abi.hpp"
#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

struct Less {
  template <typename Key>
  bool operator()(const Key& a, const Key& b) const {
    return std::memcmp(&a, &b, sizeof(Key)) < 0;
  }
};

template <typename Key>
Key key_of(const Cidr& prefix) {
  if constexpr (std::is_same_v<Key, nk_prefix4>) {
    return abi_prefix4(prefix);
  } else {
    return abi_prefix6(prefix);
  }
}

template <typename Key>
std::vector<Key> sorted_keys(const std::vector<Cidr>& prefixes) {
  constexpr auto kFamily = std::is_same_v<Key, nk_prefix4> ? Family::v4 : Family::v6;
  std::vector<Key> keys;
  for (const auto& prefix : prefixes) {
    if (prefix.family() == kFamily) keys.push_back(key_of<Key>(prefix));
  }
  std::ranges::sort(keys, Less());
  const auto equal = [](const Key& a, const Key& b) { return std::memcmp(&a, &b, sizeof(Key)) == 0; };
  const auto repeated = std::ranges::unique(keys, equal);
  keys.erase(repeated.begin(), repeated.end());
  return keys;
}

// An LPM map answers a lookup with a shorter prefix: its list of keys says whether a prefix is there.
template <typename Key>
Result<std::vector<Key>> present_keys(const TypedMap<Key, nk_deny>& map) {
  auto dump = map.dump();
  if (!dump) return tl::make_unexpected(dump.error());
  std::vector<Key> keys(dump->count);
  if (!keys.empty()) std::memcpy(keys.data(), dump->keys.data(), dump->keys.size());
  std::ranges::sort(keys, Less());
  return keys;
}

// Those of `prefixes` that the map does not have.
template <typename Key>
Result<std::vector<Key>> missing_keys(const TypedMap<Key, nk_deny>& map, const std::vector<Cidr>& prefixes) {
  auto wanted = sorted_keys<Key>(prefixes);
  if (wanted.empty()) return wanted;
  auto present = present_keys(map);
  if (!present) return present;
  std::vector<Key> missing;
  std::ranges::set_difference(wanted, *present, std::back_inserter(missing), Less());
  return missing;
}

// All or none; gives those that were not there. One call a prefix: listing the keys for each message of a long list
// would cost more.
template <typename Key>
Result<std::vector<Key>> insert(const TypedMap<Key, nk_deny>& map, const std::vector<Cidr>& prefixes) {
  std::vector<Key> added;
  for (const auto& key : sorted_keys<Key>(prefixes)) {
    const auto inserted = map.insert(key, {});
    if (!inserted) {
      std::ignore = map.erase_all(added);
      return tl::make_unexpected(inserted.error());
    }
    if (*inserted) added.push_back(key);
  }
  return added;
}

template <typename Key>
Result<void> list_into(const TypedMap<Key, nk_deny>& map, std::vector<DeniedPrefix>& list) {
  auto entries = map.entries();
  if (!entries) return tl::make_unexpected(entries.error());
  for (const auto& [key, value] : *entries) {
    list.push_back({.prefix = cidr_of(key), .packets = value.packets, .bytes = value.bytes});
  }
  return {};
}

}  // namespace

Result<DenyMap> DenyMap::open(const MapStore& store) {
  auto v4 = TypedMap<nk_prefix4, nk_deny>::open(store, kDeny4);
  if (!v4) return tl::make_unexpected(v4.error());
  auto v6 = TypedMap<nk_prefix6, nk_deny>::open(store, kDeny6);
  if (!v6) return tl::make_unexpected(v6.error());
  DenyMap map;
  map.v4_ = std::move(*v4);
  map.v6_ = std::move(*v6);
  return map;
}

Result<std::vector<Cidr>> DenyMap::add(const std::vector<Cidr>& prefixes) const {
  const auto new4 = insert(v4_, prefixes);
  if (!new4) return tl::make_unexpected(new4.error());
  const auto new6 = insert(v6_, prefixes);
  if (!new6) {
    std::ignore = v4_.erase_all(*new4);
    return tl::make_unexpected(new6.error());
  }
  std::vector<Cidr> added;
  for (const auto& key : *new4) added.push_back(cidr_of(key));
  for (const auto& key : *new6) added.push_back(cidr_of(key));
  return added;
}

Result<void> DenyMap::remove(const std::vector<Cidr>& prefixes) const {
  auto missing4 = missing_keys(v4_, prefixes);
  if (!missing4) return tl::make_unexpected(missing4.error());
  auto missing6 = missing_keys(v6_, prefixes);
  if (!missing6) return tl::make_unexpected(missing6.error());
  for (const auto& prefix : prefixes) {
    const bool unknown = prefix.family() == Family::v4
                             ? std::ranges::binary_search(*missing4, abi_prefix4(prefix), Less())
                             : std::ranges::binary_search(*missing6, abi_prefix6(prefix), Less());
    if (unknown) return fail(Code::not_found, prefix.to_string() + " is not in the deny-list");
  }
  if (auto done = v4_.erase_all(sorted_keys<nk_prefix4>(prefixes)); !done) return done;
  return v6_.erase_all(sorted_keys<nk_prefix6>(prefixes));
}

Result<std::vector<DeniedPrefix>> DenyMap::list() const {
  std::vector<DeniedPrefix> list;
  if (auto done = list_into(v4_, list); !done) return tl::make_unexpected(done.error());
  if (auto done = list_into(v6_, list); !done) return tl::make_unexpected(done.error());
  std::ranges::sort(list, {}, &DeniedPrefix::prefix);
  return list;
}

}  // namespace netkite::datapath
