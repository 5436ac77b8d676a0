// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/node/node.hpp"
#include "agent/node/overlay.hpp"
#include "agent/node/tests/lab.hpp"

namespace netkite::node {
namespace {

using netlink::kRouteProtocol;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr std::uint8_t kStatic = 4;  // RTPROT_STATIC

class Routes : public Lab {
 protected:
  void SetUp() override {
    Lab::SetUp();
    if (IsSkipped()) return;
    up_ = add_device("up0");
    add_address(up_, "192.0.2.1/24");
    add_address(up_, "2001:db8::1/64");
    options_.pools = {cidr("10.244.1.0/24"), cidr("fd00:1::/64")};
    options_.peers = {{.name = "b",
                       .addresses = {ip("192.0.2.2"), ip("2001:db8::2")},
                       .pod_ranges = {cidr("10.244.2.0/24"), cidr("fd00:2::/64")}}};
  }
  Result<void> apply() { return apply_routes(options_, discover(options_).value()); }
  [[nodiscard]] std::string dev() const { return " dev " + std::to_string(up_); }

  std::uint32_t up_ = 0;
  config::Options options_;
};

TEST_F(Routes, PeersRangesAndUnreachablePools) {
  ASSERT_TRUE(apply());
  EXPECT_THAT(routes(kRouteProtocol),
              UnorderedElementsAre("10.244.2.0/24 via 192.0.2.2" + dev(), "fd00:2::/64 via 2001:db8::2" + dev(),
                                   "unreachable 10.244.1.0/24", "unreachable fd00:1::/64"));
}

TEST_F(Routes, TheSecondTimeWritesNothing) {
  ASSERT_TRUE(apply());
  const auto before = routes(kRouteProtocol);
  // A new device's addresses report for themselves, once they are good: who writes each time is never quiet.
  bool quiet = false;
  for (int time = 0; time < 20 && !quiet; ++time) {
    const auto monitor = Monitor::open();
    ASSERT_TRUE(monitor);
    ASSERT_TRUE(apply());
    pollfd wait{.fd = (*monitor)->fd(), .events = POLLIN, .revents = 0};
    quiet = poll(&wait, 1, 0) == 0;
  }
  EXPECT_TRUE(quiet) << "the kernel reported a change each time";
  EXPECT_EQ(routes(kRouteProtocol), before);
}

TEST_F(Routes, ForeignRoutesStay) {
  add_route("10.99.0.0/16", up_, "192.0.2.77");
  add_route("10.244.9.7/32", up_, "192.0.2.77");
  const auto before = routes(kStatic);
  ASSERT_TRUE(apply());
  EXPECT_EQ(routes(kStatic), before);
  ASSERT_TRUE(remove_all(options_));
  EXPECT_EQ(routes(kStatic), before);
}

TEST_F(Routes, AForeignRouteInOurPlaceIsNamedAndStays) {
  add_route("10.244.2.0/24", up_, "192.0.2.77");
  const auto before = routes(kStatic);
  const auto applied = apply();
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code, Code::exists);
  EXPECT_THAT(applied.error().message, HasSubstr("10.244.2.0/24"));
  EXPECT_EQ(routes(kStatic), before);
  EXPECT_THAT(routes(kRouteProtocol), Contains(HasSubstr("fd00:2::/64")));  // the others are in place
}

TEST_F(Routes, UnwantedOnesGoAndPodsStay) {
  const auto pod = add_device("nkpod0");
  add_route("10.244.1.5/32", pod, "", kRouteProtocol);
  add_route("fd00:1::5/128", pod, "", kRouteProtocol);
  add_route("10.244.7.0/24", up_, "192.0.2.7", kRouteProtocol);  // a peer of yesterday
  add_route("10.244.8.1/32", up_, "192.0.2.8", kRouteProtocol);  // one whose range is a single address
  ASSERT_TRUE(apply());
  const auto now = routes(kRouteProtocol);
  EXPECT_EQ(now.size(), 6U);
  EXPECT_THAT(now, Contains("10.244.1.5/32 dev " + std::to_string(pod)));
  EXPECT_THAT(now, Contains("fd00:1::5/128 dev " + std::to_string(pod)));
}

TEST_F(Routes, FollowsAPeerToAnotherNextHop) {
  ASSERT_TRUE(apply());
  options_.peers[0].addresses = {ip("192.0.2.3"), ip("2001:db8::3")};
  ASSERT_TRUE(apply());
  EXPECT_THAT(routes(kRouteProtocol),
              UnorderedElementsAre("10.244.2.0/24 via 192.0.2.3" + dev(), "fd00:2::/64 via 2001:db8::3" + dev(),
                                   "unreachable 10.244.1.0/24", "unreachable fd00:1::/64"));
}

TEST_F(Routes, Ipv4OverAnIpv6NextHop) {
  options_.peers[0].addresses = {ip("2001:db8::2")};
  ASSERT_TRUE(apply());
  const auto first = routes(kRouteProtocol);
  EXPECT_THAT(first, Contains("10.244.2.0/24 via 2001:db8::2" + dev()));
  ASSERT_TRUE(apply());
  EXPECT_EQ(routes(kRouteProtocol), first);
}

class Overlay : public Routes {
 protected:
  void SetUp() override {
    Routes::SetUp();
    if (IsSkipped()) return;
    options_.routing = config::Routing::overlay;
    options_.sysctl_dir = "/proc/sys";
  }
  static Mac mac() { return Mac::parse("02:6e:6b:00:00:01").value(); }
  netlink::Link device() { return netlink::get_link(socket(), "nk-overlay").value(); }
};

TEST_F(Overlay, TheDeviceIsMadeOnceAndAsConfigured) {
  const auto index = ensure_overlay(options_, mac());
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_FALSE(device().up) << "programs come first";
  EXPECT_EQ(device().vxlan_port, 8472);
  EXPECT_TRUE(device().vxlan_external);
  EXPECT_EQ(device().mac, mac());
  ASSERT_TRUE(raise_overlay(options_, *index, 1430));
  EXPECT_TRUE(device().up);
  EXPECT_EQ(device().mtu, 1430U);
  EXPECT_EQ(ensure_overlay(options_, mac()), *index);
  options_.overlay.port = 4789;
  EXPECT_NE(ensure_overlay(options_, mac()), *index);
  EXPECT_EQ(device().vxlan_port, 4789);
  ASSERT_TRUE(remove_overlay());
  EXPECT_FALSE(netlink::get_link(socket(), "nk-overlay"));
  EXPECT_TRUE(remove_overlay());
}

TEST_F(Overlay, APortThatIsTakenIsNamed) {
  const int other = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(8472);
  ASSERT_EQ(bind(other, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const auto index = ensure_overlay(options_, mac());
  ASSERT_TRUE(index);
  const auto refused = raise_overlay(options_, *index, 1450);
  close(other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::invalid);
  EXPECT_THAT(refused.error().message, HasSubstr("overlay.port: UDP port 8472 is taken"));
  EXPECT_TRUE(raise_overlay(options_, *index, 1450));
}

TEST_F(Overlay, RoutesLeadIntoItAndSayWhoWeAre) {
  const auto index = ensure_overlay(options_, mac());
  ASSERT_TRUE(index);
  ASSERT_TRUE(raise_overlay(options_, *index, 1450));
  const auto put = [&] { return apply_routes(options_, discover(options_, *index).value()); };
  ASSERT_TRUE(put());
  const auto over = " dev " + std::to_string(*index);
  EXPECT_THAT(routes(kRouteProtocol), UnorderedElementsAre("10.244.2.0/24" + over, "fd00:2::/64" + over,
                                                           "unreachable 10.244.1.0/24", "unreachable fd00:1::/64"));
  const auto put_there = netlink::list_routes(socket(), kRouteProtocol).value();
  for (const auto& route : put_there) {
    if (route.unreachable) continue;
    EXPECT_EQ(route.preferred_source, ip(route.destination.family() == Family::v4 ? "192.0.2.1" : "2001:db8::1"));
  }
  const auto monitor = Monitor::open();
  ASSERT_TRUE(put());
  pollfd wait{.fd = (*monitor)->fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&wait, 1, 0), 0) << "the kernel reported a change";
  options_.routing = config::Routing::native;
  ASSERT_TRUE(apply());
  EXPECT_THAT(routes(kRouteProtocol), Contains("10.244.2.0/24 via 192.0.2.2" + dev()));
  ASSERT_TRUE(remove_overlay());
}

TEST_F(Routes, RemoveAllLeavesNoneOfOurs) {
  ASSERT_TRUE(apply());
  ASSERT_TRUE(ensure_overlay(options_, Mac::derived("x")));
  ASSERT_TRUE(remove_all(options_));
  EXPECT_THAT(routes(kRouteProtocol), IsEmpty());
  EXPECT_FALSE(netlink::get_link(socket(), "nk-overlay"));
  EXPECT_TRUE(remove_all(options_));
}

}  // namespace
}  // namespace netkite::node
