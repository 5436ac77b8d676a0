// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/endpoint_map.hpp"

#include <algorithm>

#include "agent/datapath/abi.hpp"
#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

nk_endpoint entry_of(const EndpointDevice& device, bool hooked) {
  nk_endpoint entry{};
  entry.ifindex = device.host_ifindex;
  entry.endpoint_id = device.id;
  if (device.stack_path) entry.flags |= NK_EP_STACK;
  if (hooked) entry.flags |= NK_EP_HOOKED;
  if (device.mode == wire::DeviceMode::netkit) return entry;
  entry.flags |= NK_EP_L2;
  std::ranges::copy(device.pod_mac.bytes, entry.pod_mac);
  std::ranges::copy(device.host_mac.bytes, entry.host_mac);
  return entry;
}

template <typename Map>
Result<void> purge_map(const Map& map, const std::function<bool(std::uint32_t)>& keep) {
  auto entries = map.entries();
  if (!entries) return tl::make_unexpected(entries.error());
  for (const auto& [key, value] : *entries) {
    if (keep(value.ifindex)) continue;
    if (auto done = map.erase(key); !done) return tl::make_unexpected(done.error());
  }
  return {};
}

template <typename Map, typename Key>
Result<void> erase_if_of(const Map& map, const Key& key, std::uint32_t ifindex) {
  auto entry = map.lookup(key);
  if (!entry) return tl::make_unexpected(entry.error());
  if (!*entry || (*entry)->ifindex != ifindex) return {};
  return map.erase(key).map([](bool) {});
}

template <typename Map, typename Key>
Result<bool> leads_to(const Map& map, const Key& key, std::uint32_t ifindex) {
  return map.lookup(key).map([=](const auto& entry) { return entry && entry->ifindex == ifindex; });
}

}  // namespace

Result<EndpointMap> EndpointMap::open(const MapStore& store) {
  auto v4 = TypedMap<std::uint32_t, nk_endpoint>::open(store, kEndpoints4);
  if (!v4) return tl::make_unexpected(v4.error());
  auto v6 = TypedMap<nk_addr6, nk_endpoint>::open(store, kEndpoints6);
  if (!v6) return tl::make_unexpected(v6.error());
  auto devices = TypedMap<std::uint32_t, nk_device>::open(store, kDevices);
  if (!devices) return tl::make_unexpected(devices.error());
  EndpointMap map;
  map.v4_ = std::move(*v4);
  map.v6_ = std::move(*v6);
  map.devices_ = std::move(*devices);
  return map;
}

Result<void> EndpointMap::add_entries(const EndpointDevice& device, Passage passage) const {
  nk_device flags{.flags = passage.direct ? NK_EP_DIRECT : 0, .endpoint_id = device.id};
  for (const auto& address : device.addresses) flags.flags |= address.is_v4() ? NK_EP_IPV4 : NK_EP_IPV6;
  if (auto done = devices_.update(device.host_ifindex, flags); !done) return done;
  const auto entry = entry_of(device, passage.hooked);
  for (const auto& address : device.addresses) {
    auto done = address.is_v4() ? v4_.update(abi_v4(address), entry) : v6_.update(abi_v6(address), entry);
    if (!done) return done;
  }
  return {};
}

Result<void> EndpointMap::add(const EndpointDevice& device, Passage passage) const {
  // Entries that were there already serve a pod that lives: they stay.
  const bool known = verify(device).has_value();
  auto done = add_entries(device, passage);
  if (!done && !known) std::ignore = remove(device);
  return done;
}

Result<void> EndpointMap::remove(const EndpointDevice& device) const {
  Result<void> first;
  const auto note = [&first](Result<void> done) {
    if (first && !done) first = std::move(done);
  };
  for (const auto& address : device.addresses) {
    note(address.is_v4() ? erase_if_of(v4_, abi_v4(address), device.host_ifindex)
                         : erase_if_of(v6_, abi_v6(address), device.host_ifindex));
  }
  note(devices_.erase(device.host_ifindex).map([](bool) {}));
  return first;
}

Result<void> EndpointMap::verify(const EndpointDevice& device) const {
  for (const auto& address : device.addresses) {
    auto good = address.is_v4() ? leads_to(v4_, abi_v4(address), device.host_ifindex)
                                : leads_to(v6_, abi_v6(address), device.host_ifindex);
    if (!good) return tl::make_unexpected(good.error());
    if (!*good) {
      return fail(Code::not_found, "no entry for " + address.to_string() + " on " + device.host_ifname + " in map " +
                                       std::string(address.is_v4() ? kEndpoints4 : kEndpoints6));
    }
  }
  return {};
}

Result<void> EndpointMap::purge(const std::function<bool(std::uint32_t ifindex)>& keep) const {
  if (auto done = purge_map(v4_, keep); !done) return done;
  if (auto done = purge_map(v6_, keep); !done) return done;
  auto entries = devices_.entries();
  if (!entries) return tl::make_unexpected(entries.error());
  for (const auto& [ifindex, device] : *entries) {
    if (keep(ifindex)) continue;
    if (auto done = devices_.erase(ifindex); !done) return tl::make_unexpected(done.error());
  }
  return {};
}

}  // namespace netkite::datapath
