// SPDX-License-Identifier: Apache-2.0
// Against the running kernel, in a network namespace of the test's own.
#include "agent/endpoint/host_link.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <fstream>
#include <sstream>

#include "agent/endpoint/tests/netns_fixture.hpp"
#include "common/netlink/link_veth.hpp"
#include "common/netlink/qdisc.hpp"
#include "common/netlink/route.hpp"

namespace netkite::endpoint::testing {
namespace {

using ::testing::HasSubstr;

class HostLinkTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { entered_ = ::unshare(CLONE_NEWNET) == 0; }
  void SetUp() override {
    if (!entered_) GTEST_SKIP() << "needs the right to make network namespaces";
    endpoint_.attachment = {.network = "net", .container_id = "c", .ifname = "eth0"};
    endpoint_.device = wire::DeviceMode::veth;
    endpoint_.host_ifname = wire::host_ifname(endpoint_.attachment);
    endpoint_.addresses = {Ip::parse("10.9.0.5").value(), Ip::parse("fd00:9::5").value()};
    endpoint_.pod_mac = Mac::parse("02:00:00:00:00:01").value();
    endpoint_.host_mac = Mac::parse("02:00:00:00:00:02").value();
    pod_ = new_netns();
    auto socket = netlink::Socket::open();
    ASSERT_TRUE(socket);
    const netlink::VethPair pair{.host_name = endpoint_.host_ifname,
                                 .pod_name = "eth0",
                                 .pod_netns_fd = pod_.get(),
                                 .host_mac = endpoint_.host_mac,
                                 .pod_mac = endpoint_.pod_mac};
    const auto created = netlink::create_veth(*socket, pair);
    ASSERT_TRUE(created) << created.error().message;
    endpoint_.host_ifindex = host_->find(endpoint_.host_ifname)->index;
  }
  void TearDown() override {
    if (!entered_) return;
    EXPECT_TRUE(host_->remove(endpoint_.host_ifname));
  }

  static bool entered_;
  UniqueFd pod_;  // the namespace, and with it the device, lives as long as its descriptor
  std::unique_ptr<HostLink> host_ = make_host_link("/proc/sys");
  Endpoint endpoint_;
};
bool HostLinkTest::entered_ = false;

TEST_F(HostLinkTest, ConfigureMakesThePodReachable) {
  EXPECT_FALSE(host_->verify(endpoint_));
  for (int round = 0; round < 2; ++round) {
    const auto configured = host_->configure(endpoint_);
    ASSERT_TRUE(configured) << configured.error().message;
  }
  const auto verified = host_->verify(endpoint_);
  EXPECT_TRUE(verified) << verified.error().message;
  EXPECT_TRUE(host_->find(endpoint_.host_ifname)->up);

  auto socket = netlink::Socket::open();
  const auto routes = netlink::list_routes(*socket, netlink::kRouteProtocol);
  ASSERT_TRUE(routes);
  ASSERT_EQ(routes->size(), 2U);
  EXPECT_EQ(routes->at(0).destination.to_string(), "10.9.0.5/32");
  EXPECT_EQ(routes->at(1).destination.to_string(), "fd00:9::5/128");
  for (const auto& route : *routes) EXPECT_EQ(route.ifindex, endpoint_.host_ifindex);
  std::ifstream accept_ra("/proc/sys/net/ipv6/conf/" + endpoint_.host_ifname + "/accept_ra");
  std::string value;
  accept_ra >> value;
  EXPECT_EQ(value, "0");
}

TEST_F(HostLinkTest, WhatThePodGetsIsLimitedByAQueue) {
  endpoint_.bandwidth = {.ingress_rate = 20000000, .ingress_burst = 1000000};
  for (int round = 0; round < 2; ++round) {
    const auto configured = host_->configure(endpoint_);
    ASSERT_TRUE(configured) << configured.error().message;
  }
  ASSERT_TRUE(host_->verify(endpoint_)) << host_->verify(endpoint_).error().message;
  auto socket = netlink::Socket::open();
  const auto queue = netlink::get_root_qdisc(*socket, endpoint_.host_ifindex);
  ASSERT_TRUE(queue) << queue.error().message;
  EXPECT_EQ(queue->kind, "tbf");
  EXPECT_EQ(queue->rate, 2500000U);

  endpoint_.bandwidth.ingress_rate = 30000000;
  const auto other = host_->verify(endpoint_);
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("has no queue that limits it to 30000000 bit/s"));
  ASSERT_TRUE(host_->configure(endpoint_));
  EXPECT_TRUE(host_->verify(endpoint_));
  ASSERT_TRUE(host_->lift_limit(endpoint_));
  EXPECT_FALSE(host_->verify(endpoint_));
  EXPECT_TRUE(host_->lift_limit(endpoint_)) << "lifted already";
}

TEST_F(HostLinkTest, NeighboursArePermanentAndSaidOnce) {
  ASSERT_TRUE(host_->configure(endpoint_));
  std::ifstream arp("/proc/thread-self/net/arp");
  std::stringstream content;
  content << arp.rdbuf();
  const std::string table = content.str();
  EXPECT_THAT(table, HasSubstr("10.9.0.5"));
  EXPECT_THAT(table, HasSubstr("0x6"));  // ATF_COM | ATF_PERM
  EXPECT_THAT(table, HasSubstr("02:00:00:00:00:01"));
}

TEST_F(HostLinkTest, Ipv6IsTurnedOnWhereANodeDefaultsItOff) {
  const auto path = "/proc/sys/net/ipv6/conf/" + endpoint_.host_ifname + "/disable_ipv6";
  std::ofstream(path) << "1";
  const auto configured = host_->configure(endpoint_);
  EXPECT_TRUE(configured) << configured.error().message;
  EXPECT_TRUE(host_->verify(endpoint_));
}

TEST_F(HostLinkTest, VerifyNoticesALostRoute) {
  ASSERT_TRUE(host_->configure(endpoint_));
  auto socket = netlink::Socket::open();
  const netlink::Route route{.destination = Cidr::host(endpoint_.addresses[1]),
                             .ifindex = endpoint_.host_ifindex,
                             .gateway = {},
                             .protocol = netlink::kRouteProtocol,
                             .preferred_source = {}};
  ASSERT_TRUE(netlink::delete_route(*socket, route));
  const auto verified = host_->verify(endpoint_);
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code, Code::not_found);
  EXPECT_THAT(verified.error().message, HasSubstr("fd00:9::5"));
}

TEST_F(HostLinkTest, RemovalTakesEverythingAlong) {
  ASSERT_TRUE(host_->configure(endpoint_));
  ASSERT_TRUE(host_->remove(endpoint_.host_ifname));
  ASSERT_TRUE(host_->remove(endpoint_.host_ifname));
  const auto gone = host_->find(endpoint_.host_ifname);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::not_found);
  auto socket = netlink::Socket::open();
  EXPECT_TRUE(netlink::list_routes(*socket, netlink::kRouteProtocol)->empty());
}

TEST_F(HostLinkTest, MatchesTheKernelsOwnWords) {
  const auto link = host_->find(endpoint_.host_ifname);
  ASSERT_TRUE(link);
  EXPECT_TRUE(is_ours(*link));
  const auto match = matches(*link, endpoint_);
  EXPECT_TRUE(match) << match.error().message;
  endpoint_.host_mac = endpoint_.pod_mac;
  const auto wrong = matches(*link, endpoint_);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("MAC"));
}

}  // namespace
}  // namespace netkite::endpoint::testing
