// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/express_map.hpp"

#include <linux/netdev.h>

#include <algorithm>
#include <tuple>

#include "agent/datapath/map_names.hpp"
#include "common/netlink/link.hpp"

namespace netkite::datapath {

Result<ExpressMap> ExpressMap::open(const MapStore& store) {
  auto map = TypedMap<std::uint32_t, nk_uplink>::open(store, kUplinks);
  if (!map) return tl::make_unexpected(map.error());
  ExpressMap express;
  express.map_ = std::move(*map);
  return express;
}

Result<nk_uplink> ExpressMap::read(std::uint32_t ifindex) {
  constexpr std::uint64_t kNeeded = NETDEV_XDP_ACT_BASIC | NETDEV_XDP_ACT_REDIRECT;
  const auto state = query_xdp(ifindex);
  if (!state) return tl::make_unexpected(state.error());
  if ((state->features & kNeeded) != kNeeded) return fail(Code::unsupported, "the driver has no native XDP");
  auto socket = netlink::Socket::open();
  if (!socket) return tl::make_unexpected(socket.error());
  const auto link = netlink::get_link(*socket, ifindex);
  if (!link) return tl::make_unexpected(link.error());
  if (!link->mac) return fail(Code::unsupported, "the device has no MAC");
  nk_uplink uplink{};
  std::ranges::copy(link->mac->bytes, uplink.mac);
  uplink.flags = (state->features & NETDEV_XDP_ACT_NDO_XMIT) != 0 ? NK_UPLINK_SENDS : 0;
  return uplink;
}

Result<nk_uplink> ExpressMap::add(std::uint32_t ifindex) const {
  auto uplink = read(ifindex);
  if (!uplink) return uplink;
  if (const auto done = map_.update(ifindex, *uplink); !done) return tl::make_unexpected(done.error());
  return uplink;
}

void ExpressMap::remove(std::uint32_t ifindex) const { std::ignore = map_.erase(ifindex); }

void ExpressMap::purge(const std::function<bool(std::uint32_t ifindex)>& keep) const {
  const auto present = map_.entries();
  if (!present) return;
  for (const auto& [ifindex, uplink] : *present) {
    if (!keep(ifindex)) remove(ifindex);
  }
}

}  // namespace netkite::datapath
