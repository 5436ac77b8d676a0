// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/remote_map.hpp"

#include "agent/datapath/abi.hpp"
#include "agent/datapath/map_difference.hpp"
#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

nk_remote way_of(const Remote& remote) {
  nk_remote value{};
  value.ifindex = remote.ifindex;
  value.mtu = remote.mtu;
  value.nexthop_family = static_cast<std::uint32_t>(remote.nexthop.af());
  value.nexthop = abi_v6(remote.nexthop);
  return value;
}

nk_tunnel tunnel_of(const Remote& remote) {
  nk_tunnel value{};
  value.way = way_of(remote);
  value.device = remote.tunnel->device;
  value.family = static_cast<std::uint32_t>(remote.tunnel->node.af());
  value.node = abi_v6(remote.tunnel->node);
  value.local = abi_v6(remote.tunnel->local);
  value.flags = remote.own ? NK_TUNNEL_NODE : 0;
  return value;
}

template <typename Key, typename Value>
Result<void> apply(const TypedMap<Key, Value>& map, MapContent<Key, Value> wanted) {
  auto rest = map_difference(map, std::move(wanted));
  if (!rest) return tl::make_unexpected(rest.error());
  const bool room = rest->present + rest->fresh.size() <= map.handle().info.max_entries;
  if (!room) {
    if (auto done = map.erase_all(rest->stale); !done) return done;
    rest->stale.clear();
  }
  for (const auto& [key, value] : rest->fresh) {
    if (auto done = map.update(key, value); !done) return wrap(done.error(), cidr_of(key).to_string());
  }
  return map.erase_all(rest->stale);
}

// Of one kind, which `value_of` turns into map values, both families.
template <typename Value, typename ValueOf>
Result<void> apply_all(const TypedMap<nk_prefix4, Value>& map4, const TypedMap<nk_prefix6, Value>& map6,
                       const std::vector<Remote>& remotes, bool tunnels, const ValueOf& value_of) {
  MapContent<nk_prefix4, Value> v4;
  MapContent<nk_prefix6, Value> v6;
  for (const auto& remote : remotes) {
    if (remote.tunnel.has_value() != tunnels) continue;
    if (remote.prefix.family() == Family::v4) {
      v4.insert_or_assign(abi_prefix4(remote.prefix), value_of(remote));
    } else {
      v6.insert_or_assign(abi_prefix6(remote.prefix), value_of(remote));
    }
  }
  if (auto done = apply(map4, std::move(v4)); !done) return done;
  return apply(map6, std::move(v6));
}

}  // namespace

Result<RemoteMap> RemoteMap::open(const MapStore& store) {
  auto remotes4 = TypedMap<nk_prefix4, nk_remote>::open(store, kRemotes4);
  if (!remotes4) return tl::make_unexpected(remotes4.error());
  auto remotes6 = TypedMap<nk_prefix6, nk_remote>::open(store, kRemotes6);
  if (!remotes6) return tl::make_unexpected(remotes6.error());
  auto tunnels4 = TypedMap<nk_prefix4, nk_tunnel>::open(store, kTunnels4);
  if (!tunnels4) return tl::make_unexpected(tunnels4.error());
  auto tunnels6 = TypedMap<nk_prefix6, nk_tunnel>::open(store, kTunnels6);
  if (!tunnels6) return tl::make_unexpected(tunnels6.error());
  RemoteMap map;
  map.remotes4_ = std::move(*remotes4);
  map.remotes6_ = std::move(*remotes6);
  map.tunnels4_ = std::move(*tunnels4);
  map.tunnels6_ = std::move(*tunnels6);
  return map;
}

Result<void> RemoteMap::set(const std::vector<Remote>& remotes) const {
  if (auto done = apply_all(remotes4_, remotes6_, remotes, false, way_of); !done) return done;
  return apply_all(tunnels4_, tunnels6_, remotes, true, tunnel_of);
}

}  // namespace netkite::datapath
