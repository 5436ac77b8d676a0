// SPDX-License-Identifier: Apache-2.0
#include "agent/node/uplink_address.hpp"

#include <algorithm>
#include <optional>

namespace netkite::node {
namespace {

std::optional<Ip> address_of(std::uint32_t ifindex, Family family, const std::vector<netlink::Address>& addresses,
                             const std::vector<netlink::Route>& routes) {
  const auto usable = [&](const netlink::Address& each) {
    return each.ifindex == ifindex && each.preferred && each.address.family() == family;
  };
  const auto way = std::ranges::find_if(routes, [&](const netlink::Route& route) {
    return route.ifindex == ifindex && route.destination.length() == 0 && route.destination.family() == family;
  });
  const auto near = [&](const netlink::Address& each) {
    if (!usable(each) || way == routes.end() || !way->gateway || way->gateway->family() != family) return false;
    const auto network = Cidr::of(each.address, each.prefix_length);
    return network && network->contains(*way->gateway);
  };
  const auto first = std::ranges::find_if(addresses, usable);
  if (first == addresses.end()) return std::nullopt;
  if (way != routes.end() && way->preferred_source) return way->preferred_source;
  const auto nearest = std::ranges::find_if(addresses, near);
  return nearest == addresses.end() ? first->address : nearest->address;
}

}  // namespace

std::vector<Ip> addresses_of_uplink(std::uint32_t ifindex, const std::vector<netlink::Address>& addresses,
                                    const std::vector<netlink::Route>& routes) {
  std::vector<Ip> found;
  for (const auto family : {Family::v4, Family::v6}) {
    if (const auto address = address_of(ifindex, family, addresses, routes)) found.push_back(*address);
  }
  return found;
}

}  // namespace netkite::node
