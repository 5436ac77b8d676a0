// SPDX-License-Identifier: Apache-2.0
// What it takes to make a map hold what is wanted, and nothing else. Room-internal.
#pragma once

#include <cstring>
#include <map>
#include <vector>

#include "agent/datapath/typed_map.hpp"

namespace netkite::datapath {

struct ByBytes {
  template <typename T>
  bool operator()(const T& a, const T& b) const {
    return std::memcmp(&a, &b, sizeof(T)) < 0;
  }
};

// Padding counts: keys and values begin as zeros.
template <typename Key, typename Value>
using MapContent = std::map<Key, Value, ByBytes>;

template <typename Key, typename Value>
struct MapDifference {
  MapContent<Key, Value> fresh;  // not there, or with another value
  std::vector<Key> stale;
  std::size_t present = 0;  // entries that there are
};

template <typename Key, typename Value>
Result<MapDifference<Key, Value>> map_difference(const TypedMap<Key, Value>& map, MapContent<Key, Value> wanted) {
  const auto present = map.entries();
  if (!present) return tl::make_unexpected(present.error());
  MapDifference<Key, Value> rest{.fresh = std::move(wanted), .stale = {}, .present = present->size()};
  for (const auto& [key, value] : *present) {
    const auto found = rest.fresh.find(key);
    if (found == rest.fresh.end()) {
      rest.stale.push_back(key);
    } else if (std::memcmp(&found->second, &value, sizeof(value)) == 0) {
      rest.fresh.erase(found);
    }
  }
  return rest;
}

}  // namespace netkite::datapath
