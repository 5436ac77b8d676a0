// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/remote_map.hpp"

#include <cstring>
#include <map>

#include "agent/datapath/abi.hpp"
#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

nk_remote value_of(const Remote& remote) {
  nk_remote value{};
  value.ifindex = remote.ifindex;
  value.mtu = remote.mtu;
  value.nexthop_family = static_cast<std::uint32_t>(remote.nexthop.af());
  value.nexthop = abi_v6(remote.nexthop);
  return value;
}

bool same(const nk_remote& a, const nk_remote& b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

template <typename Key>
Result<void> apply(const TypedMap<Key, nk_remote>& map, std::map<Cidr, std::pair<Key, nk_remote>> wanted) {
  auto present = map.entries();
  if (!present) return tl::make_unexpected(present.error());
  std::vector<Key> stale;
  for (const auto& [key, value] : *present) {
    const auto found = wanted.find(cidr_of(key));
    if (found == wanted.end()) {
      stale.push_back(key);
    } else if (same(found->second.second, value)) {
      wanted.erase(found);
    }
  }
  const bool room = present->size() + wanted.size() <= map.handle().info.max_entries;
  if (!room) {
    if (auto done = map.erase_all(stale); !done) return done;
    stale.clear();
  }
  for (const auto& [prefix, entry] : wanted) {
    if (auto done = map.update(entry.first, entry.second); !done) return wrap(done.error(), prefix.to_string());
  }
  return map.erase_all(stale);
}

}  // namespace

Result<RemoteMap> RemoteMap::open(const MapStore& store) {
  auto v4 = TypedMap<nk_prefix4, nk_remote>::open(store, kRemotes4);
  if (!v4) return tl::make_unexpected(v4.error());
  auto v6 = TypedMap<nk_prefix6, nk_remote>::open(store, kRemotes6);
  if (!v6) return tl::make_unexpected(v6.error());
  RemoteMap map;
  map.v4_ = std::move(*v4);
  map.v6_ = std::move(*v6);
  return map;
}

Result<void> RemoteMap::set(const std::vector<Remote>& remotes) const {
  std::map<Cidr, std::pair<nk_prefix4, nk_remote>> v4;
  std::map<Cidr, std::pair<nk_prefix6, nk_remote>> v6;
  for (const auto& remote : remotes) {
    const auto value = value_of(remote);
    if (remote.prefix.family() == Family::v4) {
      v4.insert_or_assign(remote.prefix, std::pair(abi_prefix4(remote.prefix), value));
    } else {
      v6.insert_or_assign(remote.prefix, std::pair(abi_prefix6(remote.prefix), value));
    }
  }
  if (auto done = apply(v4_, std::move(v4)); !done) return done;
  return apply(v6_, std::move(v6));
}

}  // namespace netkite::datapath
