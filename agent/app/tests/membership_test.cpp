// SPDX-License-Identifier: Apache-2.0
#include "agent/app/membership.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace netkite::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Nodes nodes_of(std::initializer_list<kube::Node> list) {
  Nodes nodes;
  for (const auto& node : list) nodes.emplace(node.name, node);
  return nodes;
}
kube::Node node(const std::string& name, std::initializer_list<const char*> ranges,
                std::initializer_list<const char*> addresses) {
  kube::Node made;
  made.name = name;
  for (const auto* range : ranges) made.pod_ranges.push_back(Cidr::parse(range).value());
  for (const auto* address : addresses) made.addresses.push_back(Ip::parse(address).value());
  return made;
}
kube::Node at(kube::Node made, const char* created) {
  made.created = created;
  return made;
}
Cidr cidr(const char* text) { return Cidr::parse(text).value(); }
Ip ip(const char* text) { return Ip::parse(text).value(); }

TEST(Membership, PoolsAreTheOwnNodesInItsOrder) {
  const auto nodes = nodes_of({node("a", {"fd00:1::/64", "10.244.1.0/24"}, {}), node("b", {}, {}),
                               node("c", {"10.1.0.0/24", "10.2.0.0/24"}, {}), node("d", {"224.0.0.0/8"}, {})});
  EXPECT_THAT(pools_of(nodes, "a").value(), ElementsAre(cidr("fd00:1::/64"), cidr("10.244.1.0/24")));
  EXPECT_THAT(pools_of(nodes, "b").error().message, HasSubstr("--allocate-node-cidrs"));
  EXPECT_THAT(pools_of(nodes, "c").error().message, HasSubstr("10.2.0.0/24"));
  EXPECT_THAT(pools_of(nodes, "d").error().message, HasSubstr("multicast"));
  EXPECT_THAT(pools_of(nodes, "x").error().message, HasSubstr("no node \"x\""));
}

TEST(Membership, PeersAreTheOthersThatHaveAnAddress) {
  std::vector<std::string> problems;
  const auto peers = peers_of(nodes_of({node("a", {"10.1.0.0/24"}, {"192.0.2.1"}),
                                        node("b", {"10.2.0.0/24", "fd00:2::/64"}, {"192.0.2.2", "2001:db8::2"}),
                                        node("c", {"10.3.0.0/24"}, {}), node("d", {}, {"192.0.2.4"})}),
                              "a", {cidr("10.1.0.0/24")}, problems);
  ASSERT_EQ(peers.size(), 2U);
  EXPECT_EQ(peers[0].name, "b");
  EXPECT_THAT(peers[0].pod_ranges, ElementsAre(cidr("10.2.0.0/24"), cidr("fd00:2::/64")));
  EXPECT_EQ(peers[1].name, "d");
  EXPECT_THAT(problems, IsEmpty());
}

TEST(Membership, WhatOverlapsOrMakesNoSenseIsLeftOut) {
  std::vector<std::string> problems;
  const auto peers = peers_of(nodes_of({node("b", {"10.1.0.128/25", "10.2.0.0/24"}, {"192.0.2.2"}),
                                        node("c", {"10.2.0.0/16", "10.4.0.0/24"}, {"192.0.2.2", "2001:db8::3"}),
                                        node("d", {"127.0.0.0/8"}, {"127.0.0.1"}), node("e", {}, {"10.1.0.9"})}),
                              "a", {cidr("10.1.0.0/24")}, problems);
  ASSERT_EQ(peers.size(), 2U);
  EXPECT_THAT(peers[0].pod_ranges, ElementsAre(cidr("10.2.0.0/24")));
  EXPECT_THAT(peers[1].addresses, ElementsAre(ip("2001:db8::3")));
  EXPECT_THAT(peers[1].pod_ranges, ElementsAre(cidr("10.4.0.0/24")));
  EXPECT_THAT(
      problems,
      ElementsAre(HasSubstr("node b: podCIDRs: 10.1.0.128/25 overlaps 10.1.0.0/24"),
                  HasSubstr("node d: address 127.0.0.1"), HasSubstr("node d: podCIDRs: 127.0.0.0/8 is loopback"),
                  HasSubstr("node e: address 10.1.0.9"), HasSubstr("node c: address 192.0.2.2 is that of node b"),
                  HasSubstr("node c: podCIDRs: 10.2.0.0/16 overlaps 10.2.0.0/24")));
}

TEST(Membership, TheNewestObjectHasTheAddress) {
  const auto old = at(node("a", {"10.1.0.0/24"}, {"192.0.2.1", "2001:db8::1"}), "2025-12-31T23:59:59Z");
  const auto fresh = at(node("b", {"10.1.0.0/24"}, {"192.0.2.1"}), "2026-01-01T00:00:00Z");
  const auto same_second = at(node("c", {"10.3.0.0/24"}, {"192.0.2.1"}), "2026-01-01T00:00:00Z");
  const auto timeless = node("0", {"10.4.0.0/24"}, {"2001:db8::1"});
  std::vector<std::string> problems;
  const auto peers = peers_of(nodes_of({timeless, old, fresh, same_second}), "x", {}, problems);
  ASSERT_EQ(peers.size(), 2U);
  EXPECT_EQ(peers[0].name, "b");
  EXPECT_THAT(peers[0].addresses, ElementsAre(ip("192.0.2.1")));
  EXPECT_THAT(peers[0].pod_ranges, ElementsAre(cidr("10.1.0.0/24")));
  EXPECT_EQ(peers[1].name, "a");
  EXPECT_THAT(peers[1].addresses, ElementsAre(ip("2001:db8::1")));
  EXPECT_THAT(problems, ElementsAre("node 0: address 2001:db8::1 is that of node a",
                                    "node a: address 192.0.2.1 is that of node b",
                                    HasSubstr("node a: podCIDRs: 10.1.0.0/24 overlaps 10.1.0.0/24"),
                                    "node c: address 192.0.2.1 is that of node b"));
}

TEST(Membership, ANewObjectTakesNoRangeAway) {
  const auto old = at(node("b", {"10.2.0.0/24"}, {"192.0.2.2"}), "2025-12-31T23:59:59Z");
  const auto fresh = at(node("d", {"10.2.0.0/25"}, {"192.0.2.4"}), "2026-01-01T00:00:00Z");
  std::vector<std::string> problems;
  const auto peers = peers_of(nodes_of({old, fresh}), "x", {}, problems);
  ASSERT_EQ(peers.size(), 2U);
  EXPECT_THAT(peers[0].pod_ranges, ElementsAre(cidr("10.2.0.0/24")));
  EXPECT_THAT(peers[1].pod_ranges, IsEmpty());
  EXPECT_THAT(problems, ElementsAre(HasSubstr("node d: podCIDRs: 10.2.0.0/25 overlaps 10.2.0.0/24")));
}

}  // namespace
}  // namespace netkite::app
