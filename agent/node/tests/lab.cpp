// SPDX-License-Identifier: Apache-2.0
#include "agent/node/tests/lab.hpp"

#include <sched.h>

#include <algorithm>

namespace netkite::node {

Ip ip(const std::string& text) { return Ip::parse(text).value(); }
Cidr cidr(const std::string& text) { return Cidr::parse(text).value(); }

void Lab::SetUp() {
  if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "needs the right to make network namespaces";
  auto socket = netlink::Socket::open();
  ASSERT_TRUE(socket) << socket.error().message;
  socket_ = std::make_unique<netlink::Socket>(std::move(*socket));
  const auto loopback = netlink::change_link(*socket_, 1, {.up = true});
  ASSERT_TRUE(loopback) << loopback.error().message;
}

std::uint32_t Lab::add_device(const std::string& name, std::uint32_t mtu) {
  const auto made =
      netlink::create_veth(socket(), {.host_name = name, .pod_name = name + "x", .pod_netns_fd = -1, .mtu = mtu});
  EXPECT_TRUE(made) << made.error().message;
  for (const auto& end : {name + "x", name}) {
    const auto link = netlink::get_link(socket(), end);
    EXPECT_TRUE(link) << link.error().message;
    const auto up = netlink::change_link(socket(), link->index, {.up = true, .ipv6_addr_gen_none = true});
    EXPECT_TRUE(up) << up.error().message;
  }
  // Asking makes the kernel finish its work on the carrier of both, and its notifications with it.
  EXPECT_TRUE(netlink::get_link(socket(), name + "x"));
  return netlink::get_link(socket(), name)->index;
}

void Lab::add_address(std::uint32_t device, const std::string& prefix) {
  const auto slash = prefix.find('/');
  const auto length = static_cast<unsigned>(std::stoul(prefix.substr(slash + 1)));
  const auto added = netlink::add_address(
      socket(), {.ifindex = device, .address = ip(prefix.substr(0, slash)), .prefix_length = length});
  EXPECT_TRUE(added) << added.error().message;
}

void Lab::add_route(const std::string& destination, std::uint32_t device, const std::string& gateway,
                    std::uint8_t protocol) {
  netlink::Route route{.destination = cidr(destination), .ifindex = device, .protocol = protocol};
  if (gateway.empty()) {
    route.link_scope = true;
  } else {
    route.gateway = ip(gateway);
  }
  const auto added = netlink::add_route(socket(), route);
  EXPECT_TRUE(added) << added.error().message;
}

std::vector<std::string> Lab::routes(std::uint8_t protocol) {
  const auto list = netlink::list_routes(socket(), protocol);
  EXPECT_TRUE(list) << list.error().message;
  std::vector<std::string> lines;
  for (const auto& route : *list) {
    std::string line = route.unreachable ? "unreachable " : "";
    line += route.destination.to_string();
    if (route.gateway) line += " via " + route.gateway->to_string();
    if (!route.unreachable) line += " dev " + std::to_string(route.ifindex);
    if (route.mtu != 0) line += " mtu " + std::to_string(route.mtu);
    lines.push_back(line);
  }
  std::ranges::sort(lines);
  return lines;
}

}  // namespace netkite::node
