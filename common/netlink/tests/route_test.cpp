// SPDX-License-Identifier: Apache-2.0
// Routes against the running kernel.
#include "common/netlink/route.hpp"

#include <gmock/gmock.h>
#include <linux/rtnetlink.h>

#include <algorithm>

#include "common/netlink/address.hpp"
#include "common/netlink/link_veth.hpp"
#include "common/netlink/tests/test_namespaces.hpp"

namespace netkite::netlink {
namespace {

using ::testing::HasSubstr;

Ip ip(std::string_view text) { return Ip::parse(text).value(); }
Cidr cidr(std::string_view text) { return Cidr::parse(text).value(); }

// A namespace with a device that is up, 192.0.2.1/24 and 2001:db8::1/64 on it.
class RouteTest : public TwoNamespaces {
 protected:
  void SetUp() override {
    TwoNamespaces::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    must(create_veth(host(), {.host_name = "up0", .pod_name = "up1"}));
    for (const char* name : {"up1", "up0"}) {
      must(change_link(host(), must(get_link(host(), name)).index, {.up = true, .ipv6_addr_gen_none = true}));
    }
    uplink_ = must(get_link(host(), "up0")).index;
    must(add_address(host(), {.ifindex = uplink_, .address = ip("192.0.2.1"), .prefix_length = 24}));
    must(add_address(host(), {.ifindex = uplink_, .address = ip("2001:db8::1"), .prefix_length = 64}));
  }

  Result<Route> find(std::string_view destination, std::uint8_t protocol = 0) {
    auto routes = list_routes(host(), protocol);
    if (!routes) return tl::make_unexpected(routes.error());
    const auto found = std::ranges::find(*routes, cidr(destination), &Route::destination);
    if (found == routes->end()) return fail(Code::not_found, "no such route");
    return *found;
  }

  std::uint32_t uplink_ = 0;
};

TEST_F(RouteTest, ListsWhatWasAdded) {
  const struct {
    const char* destination;
    const char* gateway;
    const char* source;
    bool onlink, link_scope;
  } cases[] = {
      {"10.1.0.0/24", "192.0.2.2", "192.0.2.1", false, false},
      {"10.2.0.0/24", nullptr, nullptr, false, true},
      {"10.3.0.5/32", "198.51.100.9", nullptr, true, false},
      {"0.0.0.0/0", "192.0.2.254", nullptr, false, false},
      {"10.4.0.0/24", "2001:db8::2", nullptr, false, false},
      {"fd00:1::/64", "2001:db8::2", "2001:db8::1", false, false},
      {"fd00:2::/64", nullptr, nullptr, false, true},
      {"fd00:3::5/128", "2001:db8:9::9", nullptr, true, false},
      {"::/0", "2001:db8::fe", nullptr, false, false},
  };
  for (const auto& each : cases) {
    Route route{.destination = cidr(each.destination),
                .ifindex = uplink_,
                .onlink = each.onlink,
                .link_scope = each.link_scope,
                .protocol = kRouteProtocol,
                .mtu = 1400,
                .metric = 77};
    if (each.gateway != nullptr) route.gateway = ip(each.gateway);
    if (each.source != nullptr) route.preferred_source = ip(each.source);
    must(add_route(host(), route));
    const Route listed = must(find(each.destination));
    EXPECT_EQ(listed.ifindex, uplink_) << each.destination;
    EXPECT_EQ(listed.gateway, route.gateway) << each.destination;
    EXPECT_EQ(listed.preferred_source, route.preferred_source) << each.destination;
    EXPECT_EQ(listed.onlink, each.onlink) << each.destination;
    EXPECT_EQ(listed.link_scope, each.link_scope && route.destination.family() == Family::v4) << each.destination;
    EXPECT_EQ(listed.mtu, 1400U) << each.destination;
    EXPECT_EQ(listed.metric, 77U) << each.destination;
    EXPECT_EQ(listed.protocol, kRouteProtocol);
    EXPECT_FALSE(listed.unreachable);
    const auto again = add_route(host(), route);
    ASSERT_FALSE(again) << each.destination;
    EXPECT_EQ(again.error().code, Code::exists);
    EXPECT_THAT(again.error().message, HasSubstr(each.destination));
    must(delete_route(host(), listed));
    EXPECT_EQ(find(each.destination).error().code, Code::not_found) << each.destination;
    must(delete_route(host(), listed));
  }
}

TEST_F(RouteTest, AddingDoesNotPutASecondWayBesideTheFirst) {
  for (const auto& [destination, first, second] :
       {std::tuple{"10.1.0.0/24", "192.0.2.2", "192.0.2.3"}, {"fd00:1::/64", "2001:db8::2", "2001:db8::3"}}) {
    Route route{.destination = cidr(destination), .ifindex = uplink_, .gateway = ip(first)};
    must(add_route(host(), route));
    route.gateway = ip(second);
    EXPECT_EQ(add_route(host(), route).error().code, Code::exists) << destination;
    EXPECT_EQ(must(find(destination)).gateway, ip(first));
  }
}

TEST_F(RouteTest, ReplaceChangesTheWay) {
  for (const auto& [destination, first, second] :
       {std::tuple{"10.1.0.0/24", "192.0.2.2", "192.0.2.3"}, {"fd00:1::/64", "2001:db8::2", "2001:db8::3"}}) {
    Route route{.destination = cidr(destination), .ifindex = uplink_, .gateway = ip(first), .protocol = kRouteProtocol};
    must(replace_route(host(), route));
    route.gateway = ip(second);
    must(replace_route(host(), route));
    const auto routes = must(list_routes(host(), kRouteProtocol));
    EXPECT_EQ(std::ranges::count(routes, cidr(destination), &Route::destination), 1);
    EXPECT_EQ(must(find(destination)).gateway, ip(second));
  }
}

TEST_F(RouteTest, ListsByProtocol) {
  must(add_route(host(), {.destination = cidr("10.1.0.0/24"), .ifindex = uplink_, .protocol = kRouteProtocol}));
  must(add_route(host(), {.destination = cidr("fd00:1::/64"), .ifindex = uplink_, .protocol = kRouteProtocol}));
  must(add_route(host(), {.destination = cidr("10.2.0.0/24"), .ifindex = uplink_}));
  const auto ours = must(list_routes(host(), kRouteProtocol));
  EXPECT_EQ(ours.size(), 2U);
  for (const auto& route : ours) EXPECT_EQ(route.protocol, kRouteProtocol);
  EXPECT_EQ(must(list_routes(host(), RTPROT_STATIC)).size(), 1U);
  EXPECT_GE(must(list_routes(host())).size(), 5U) << "the kernel's own routes to the device's prefixes too";
  EXPECT_TRUE(must(list_routes(pod())).empty()) << "a namespace that has no tables yet";
}

TEST_F(RouteTest, DeleteTouchesOurProtocolOnly) {
  const Route foreign{.destination = cidr("10.1.0.0/24"), .ifindex = uplink_, .protocol = RTPROT_STATIC};
  const Route foreign6{.destination = cidr("fd00:1::/64"), .ifindex = uplink_, .protocol = RTPROT_STATIC};
  for (Route route : {foreign, foreign6}) {
    must(add_route(host(), route));
    route.protocol = kRouteProtocol;
    must(delete_route(host(), route));
    must(find(route.destination.to_string(), RTPROT_STATIC));
  }
}

TEST_F(RouteTest, DeleteNeedsNoMoreThanDestinationAndProtocol) {
  for (const char* destination : {"10.1.0.0/24", "fd00:1::/64"}) {
    must(add_route(host(), {.destination = cidr(destination),
                            .ifindex = uplink_,
                            .link_scope = true,
                            .protocol = kRouteProtocol,
                            .mtu = 1400,
                            .metric = 5}));
    must(delete_route(host(), {.destination = cidr(destination), .protocol = kRouteProtocol}));
    EXPECT_FALSE(find(destination)) << destination;
  }
}

TEST_F(RouteTest, UnreachableRoutes) {
  for (const auto& [prefix, inside] : {std::pair{"10.9.0.0/16", "10.9.1.1"}, {"fd09::/64", "fd09::1"}}) {
    const Route route{.destination = cidr(prefix), .unreachable = true, .protocol = kRouteProtocol};
    must(add_route(host(), route));
    const Route listed = must(find(prefix, kRouteProtocol));
    EXPECT_TRUE(listed.unreachable);
    EXPECT_EQ(listed.ifindex, 0U);
    const auto resolved = resolve_route(host(), ip(inside));
    ASSERT_FALSE(resolved) << prefix;
    EXPECT_EQ(resolved.error().code, Code::not_found);
    EXPECT_THAT(resolved.error().message, HasSubstr(inside));
    must(delete_route(host(), route));
    EXPECT_FALSE(find(prefix)) << prefix;
  }
}

TEST_F(RouteTest, Resolves) {
  must(add_route(host(), {.destination = cidr("10.1.0.0/24"), .ifindex = uplink_, .gateway = ip("192.0.2.2")}));
  must(add_route(host(), {.destination = cidr("fd00:1::/64"), .ifindex = uplink_, .gateway = ip("2001:db8::2")}));
  must(add_route(host(), {.destination = cidr("10.4.0.0/24"), .ifindex = uplink_, .gateway = ip("2001:db8::2")}));
  const struct {
    const char* destination;
    std::optional<Ip> gateway;
  } cases[] = {
      {"10.1.0.9", ip("192.0.2.2")}, {"fd00:1::9", ip("2001:db8::2")}, {"10.4.0.9", ip("2001:db8::2")},
      {"192.0.2.77", std::nullopt},  {"2001:db8::77", std::nullopt},
  };
  for (const auto& each : cases) {
    const Route route = must(resolve_route(host(), ip(each.destination)));
    EXPECT_EQ(route.ifindex, uplink_) << each.destination;
    EXPECT_EQ(route.gateway, each.gateway) << each.destination;
    EXPECT_EQ(route.destination, Cidr::host(ip(each.destination)));
  }
  for (const char* nowhere : {"203.0.113.1", "2001:db8:ffff::1"}) {
    EXPECT_EQ(resolve_route(host(), ip(nowhere)).error().code, Code::not_found) << nowhere;
  }
}

// `ip route add <destination> nexthop via <first> nexthop via <second>`.
void add_multipath(Socket& socket, const Cidr& destination, const Ip& first, const Ip& second, std::uint32_t ifindex) {
  Message message(RTM_NEWROUTE, NLM_F_CREATE);
  rtmsg header{};
  header.rtm_family = static_cast<std::uint8_t>(destination.address().af());
  header.rtm_dst_len = static_cast<std::uint8_t>(destination.length());
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_type = RTN_UNICAST;
  message.header(header);
  message.put_ip(RTA_DST, destination.address());
  {
    const Message::Nest hops(message, RTA_MULTIPATH);
    for (const Ip& gateway : {first, second}) {
      rtnexthop hop{};
      hop.rtnh_len = static_cast<std::uint16_t>(sizeof(hop) + RTA_LENGTH(gateway.width() / 8));
      hop.rtnh_ifindex = static_cast<int>(ifindex);
      message.header(hop);
      message.put_ip(RTA_GATEWAY, gateway);
    }
  }
  must(socket.request(message, "add multipath route"));
}

TEST_F(RouteTest, MultipathRoutesAppearOnceForEachNextHop) {
  add_multipath(host(), cidr("10.1.0.0/24"), ip("192.0.2.2"), ip("192.0.2.3"), uplink_);
  add_multipath(host(), cidr("fd00:1::/64"), ip("2001:db8::2"), ip("2001:db8::3"), uplink_);
  const auto routes = must(list_routes(host(), RTPROT_STATIC));
  ASSERT_EQ(routes.size(), 4U);
  const Ip gateways[] = {ip("192.0.2.2"), ip("192.0.2.3"), ip("2001:db8::2"), ip("2001:db8::3")};
  for (std::size_t i = 0; i < routes.size(); ++i) {
    EXPECT_EQ(routes[i].gateway, gateways[i]);
    EXPECT_EQ(routes[i].ifindex, uplink_);
  }
}

}  // namespace
}  // namespace netkite::netlink
