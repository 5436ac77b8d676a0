// SPDX-License-Identifier: Apache-2.0
#include "agent/node/peers.hpp"

#include <gmock/gmock.h>

namespace netkite::node {
namespace {

using testing::HasSubstr;

Ip ip(const std::string& text) { return Ip::parse(text).value(); }

class WayFrom : public testing::Test {
 protected:
  WayFrom() {
    links_[1] = {.index = 1, .name = "lo", .loopback = true};
    links_[2] = {.index = 2, .name = "eth0"};
    links_[3] = {.index = 3, .name = "nk0123456789"};
  }
  static Result<netlink::Route> over(std::uint32_t device) { return netlink::Route{.ifindex = device}; }
  [[nodiscard]] std::string refusal(const Result<netlink::Route>& route) const {
    const auto way = way_from(ip("192.0.2.2"), route, links_);
    return way ? "" : way.error().message;
  }
  Links links_;
};

TEST_F(WayFrom, OnTheLinkThePeerIsTheNextHop) {
  const auto way = way_from(ip("192.0.2.2"), over(2), links_);
  ASSERT_TRUE(way);
  EXPECT_EQ(way->nexthop, ip("192.0.2.2"));
  EXPECT_EQ(way->ifindex, 2U);
}

TEST_F(WayFrom, AGatewayIsTheNextHop) {
  const auto way = way_from(ip("192.0.2.2"), netlink::Route{.ifindex = 2, .gateway = ip("fe80::1")}, links_);
  ASSERT_TRUE(way);
  EXPECT_EQ(way->nexthop, ip("fe80::1"));
}

TEST(TunnelTo, TakesTheIpv4EndOfWhoeverIsNotOnALink) {
  using config::Routing;
  const std::vector<Way> on_link = {{.address = ip("2001:db8::2"), .nexthop = ip("2001:db8::2"), .ifindex = 2},
                                    {.address = ip("192.0.2.2"), .nexthop = ip("192.0.2.2"), .ifindex = 2}};
  auto behind = on_link;
  behind[1].nexthop = ip("192.0.2.254");
  const std::vector<Way> only6 = {on_link[0]};
  EXPECT_EQ(tunnel_to(Routing::native, behind), nullptr);
  EXPECT_EQ(tunnel_to(Routing::automatic, on_link), nullptr);
  EXPECT_EQ(tunnel_to(Routing::automatic, only6), nullptr);
  EXPECT_EQ(tunnel_to(Routing::automatic, {}), nullptr);
  EXPECT_EQ(tunnel_to(Routing::automatic, behind), &behind[1]);
  EXPECT_EQ(tunnel_to(Routing::overlay, on_link), &on_link[1]);
  EXPECT_EQ(tunnel_to(Routing::overlay, only6), &only6[0]);
  EXPECT_EQ(tunnel_to(Routing::overlay, {}), nullptr);
}

TEST_F(WayFrom, SaysWhyThereIsNone) {
  EXPECT_THAT(refusal(over(1)), HasSubstr("192.0.2.2 is an address of this node"));
  EXPECT_THAT(refusal(over(3)), HasSubstr("our own device nk0123456789"));
  EXPECT_THAT(refusal(over(9)), HasSubstr("gone"));
  EXPECT_THAT(refusal(netlink::Route{.unreachable = true}), HasSubstr("no route to 192.0.2.2"));
  EXPECT_THAT(refusal(fail(Code::io, "Network is unreachable")), HasSubstr("Network is unreachable"));
}

}  // namespace
}  // namespace netkite::node
