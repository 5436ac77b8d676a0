// SPDX-License-Identifier: Apache-2.0
// Clients whose backend's node answers them itself: they leave by the tunnel as they came. Whom a node takes in so is
// for tests/net/nodeport_dsr.sh to see: a test run cannot say which tunnel a packet came out of.
#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "bpf/tests/service_node.hpp"

namespace netkite::bpf_tests {
namespace {

constexpr std::size_t kWrapping = 50, kMtu = 1450;

Bytes led(const Talk& talk) {
  auto expected = frame(with_ends(talk, talk.ends));
  std::ranges::copy(kOverlayMac, expected.begin());
  std::ranges::copy(kSenderMac, expected.begin() + 6);
  return expected;
}

class ServiceDirect : public testing::Test {
 protected:
  ServiceDirect() {
    for (const auto& family : families()) node_.entrance(family, 4, 1, NK_ENTRANCE_DIRECT);
  }
  static Talk asking(const Flavour& flavour, std::uint32_t set = 4) {
    return flavour.asking(flavour.family.client, 40000, set);
  }
  void expect_led(const Bytes& comes, const Bytes& leaves) const {
    const auto outcome = netdev_.run(comes);
    ASSERT_EQ(outcome.status, 0);
    ASSERT_EQ(outcome.verdict, kRedirect);
    ASSERT_EQ(outcome.frame.size(), comes.size() + kWrapping);
    EXPECT_EQ(Bytes(outcome.frame.begin() + kWrapping, outcome.frame.end()), leaves);
  }
  void expect_led(const Talk& talk) const { expect_led(frame(talk), led(talk)); }
  [[nodiscard]] std::optional<nk_connection> connection(const Talk& talk) const {
    return node_.connection(talk.ends, talk.protocol);
  }

  ServiceNode node_{kServicesOverlay, kServicesOverlay};
  const Program& netdev_ = node_.netdev.program;
};

TEST_F(ServiceDirect, LeavesAsItCameAndIsKnownByOneEntry) {
  std::size_t connections = 0;
  each([&](const Flavour& flavour) {
    auto talk = asking(flavour);
    expect_led(talk);
    EXPECT_EQ(node_.connections(), ++connections);
    const auto known = connection(talk);
    ASSERT_TRUE(known);
    EXPECT_EQ(known->use, NK_CT_DIRECT);
    EXPECT_EQ(known->seen, NK_CT_SYN);
    const auto there =
        tuple_of({talk.ends.from, talk.ends.from_port, flavour.family.overlay, kBackendPort}, talk.protocol);
    EXPECT_EQ(std::memcmp(&known->to, &there, sizeof(there)), 0);
    talk.flags = kAck;
    talk.payload = Bytes(1001, 7);
    expect_led(talk);
    EXPECT_EQ(connection(talk)->seen, flavour.protocol == kTcp ? NK_CT_SYN | NK_CT_ACK : NK_CT_SYN);
    // Segments of a kind that only the device can cut inside a tunnel.
    talk.payload = Bytes(3000, 7);
    if (flavour.protocol == kTcp) {
      EXPECT_EQ(netdev_.run(frame(talk), 1390).frame, led(talk));
    }
  });
  EXPECT_EQ(node_.connections(), connections);
}

TEST_F(ServiceDirect, OverIPv6ItsDeviceWrapsIt) {
  node_.backend(4, "10.0.6.7");
  const auto talk = asking({.family = families()[0]});
  const auto outcome = netdev_.run(frame(talk));
  EXPECT_EQ(outcome.verdict, kRedirect);
  EXPECT_EQ(outcome.frame, led(talk));
}

// A node that is reached natively has its own addresses in the overlay. XDP must not go on with what leaves so.
TEST(ServiceDirectNearby, ToANodeOnTheSameLinkItsDeviceWrapsItToo) {
  auto config = kServicesOverlay;
  config.express = 1;
  const ServiceNode node(config, config);
  const auto& netdev = node.netdev.program;
  nk_tunnel tunnel{.way = {.ifindex = kUplink, .mtu = kMtu, .nexthop_family = AF_INET, .nexthop = {{192, 0, 2, 9}}},
                   .device = kOverlayDevice,
                   .family = AF_INET,
                   .node = {{192, 0, 2, 9}},
                   .local = {{192, 0, 2, 1}},
                   .flags = NK_TUNNEL_NODE};
  netdev.add_tunnel("192.0.2.9", 32, tunnel);
  netdev.add_tunnel("2001:db8::", 128, tunnel);
  each([&](const Flavour& flavour) {
    node.entrance(flavour.family, 2, 1, NK_ENTRANCE_DIRECT);
    auto talk = flavour.asking(flavour.family.client, 40000, 2);
    for (const std::uint8_t flags : {kSyn, kAck}) {
      talk.flags = flags;
      const auto outcome = netdev.run(frame(talk));
      EXPECT_EQ(outcome.verdict, kRedirect);
      EXPECT_EQ(outcome.frame, led(talk));
      EXPECT_EQ(node.connection(talk.ends, talk.protocol).value().tick & NK_CT_EXPRESS, 0U);
    }
    talk.payload = Bytes(kMtu, 7);  // through the uplink, but not through the tunnel
    const auto before = netdev.drops();
    EXPECT_EQ(netdev.run(frame(talk)).verdict, kRedirect);
    EXPECT_EQ(difference(before, netdev.drops()), (std::vector<Drop>{{NK_DROP_TOO_BIG, 1, frame(talk).size()}}));
  });
}

TEST(ServiceDirectNearby, WithoutTheOverlayThatItBeganWithItBeginsAnew) {
  const ServiceNode node;
  const Flavour flavour{.family = families()[0], .protocol = kUdp};
  const auto talk = flavour.asking(flavour.family.client, 40000, 1);
  nk_connection former{};
  former.to = tuple_of({flavour.family.client, 40000, flavour.family.overlay, kBackendPort}, kUdp);
  former.set = former.backend = 4;
  former.use = NK_CT_DIRECT;
  put(node.netdev.program, "nk_ct_v1", tuple_of(talk.ends, kUdp), former);
  expect_becomes(node.netdev.program, talk, {flavour.family.client, 40000, flavour.family.pod, kBackendPort});
}

TEST_F(ServiceDirect, OnlyForClientsFromOutsideAndPodsOfTheOverlay) {
  const auto& family = families()[0];
  const auto seen_by = [&](const Talk& talk, bool wrapped) {
    const auto outcome = netdev_.run(frame(talk));
    EXPECT_EQ(outcome.verdict, kRedirect);
    return ends_of(Bytes(outcome.frame.begin() + (wrapped ? kWrapping : 0), outcome.frame.end()));
  };
  const Flavour flavour{.family = family};
  EXPECT_EQ(seen_by(flavour.asking("192.0.2.7", 40000, 4), true).from, family.node) << "a node";
  EXPECT_EQ(seen_by(flavour.asking(family.inside, 40000, 4), true).from, family.node) << "a pod";
  for (const auto& [set, backend] : {std::pair(2U, family.remote), std::pair(3U, family.outside)}) {
    node_.entrance(family, set, 1, NK_ENTRANCE_DIRECT);
    EXPECT_EQ(seen_by(asking(flavour, set), false).to, backend);
  }
  node_.entrance(family, 1, 1, NK_ENTRANCE_DIRECT);
  EXPECT_EQ(seen_by(asking(flavour, 1), false), (Ends{family.client, 40000, family.pod, kBackendPort}));
  node_.backend(4, "192.0.2.7");
  EXPECT_EQ(seen_by(asking(flavour), false).from, family.node) << "a process of the other node";
}

TEST_F(ServiceDirect, WhatDoesNotFitOrHasNoHopLeftIsAnswered) {
  each([&](const Flavour& flavour) {
    auto talk = asking(flavour);
    expect_led(talk);
    talk.flags = kAck;
    for (const bool big : {true, false}) {
      talk.hops = big ? 64 : 1;
      talk.payload = Bytes(big ? kMtu : 10, 7);
      const auto before = netdev_.drops();
      const auto outcome = netdev_.run(frame(talk));
      EXPECT_EQ(outcome.verdict, kRedirect);
      EXPECT_EQ(outcome.frame[kEthBytes + (flavour.family.name == "IPv4" ? 9 : 6)],
                flavour.family.name == "IPv4" ? kIcmp : kIcmp6);
      const auto reason = big ? NK_DROP_TOO_BIG : NK_DROP_HOP_LIMIT;
      EXPECT_EQ(difference(before, netdev_.drops()), (std::vector<Drop>{{reason, 1, frame(talk).size()}}));
    }
  });
}

TEST_F(ServiceDirect, ErrorsOfTheClientAreLedThereToo) {
  const Flavour flavour{.family = families()[0], .protocol = kUdp};
  const auto talk = asking(flavour);
  expect_led(talk);
  auto answer = talk;
  answer.ends = reversed(talk.ends);
  const auto about = frame(answer);
  const auto error = with_checksum(frame(Ip4{.from = "192.0.2.33",
                                             .to = flavour.family.node,
                                             .protocol = kIcmp,
                                             .payload = icmp(3) + Bytes(about.begin() + kEthBytes, about.end())}));
  expect_led(error, forwarded(error, kOverlayMac, kSenderMac));
}

TEST_F(ServiceDirect, AConnectionBeginsAnewWhenItIsOver) {
  const auto& family = families()[0];
  const Flavour flavour{.family = family};
  auto talk = asking(flavour);
  expect_led(talk);
  // Another backend by now: who repeats its first packet stays.
  node_.put_entrance(family.node, ServiceNode::port(4), kTcp, {.set = 1, .count = 1});
  expect_led(talk);
  talk.flags = kFin | kAck;
  expect_led(talk);
  talk.flags = kAck;
  expect_led(talk);
  talk.flags = kSyn;
  expect_becomes(netdev_, talk, {talk.ends.from, 40000, family.pod, kBackendPort});
}

TEST_F(ServiceDirect, DatagramsGoToAnotherBackendWhenTheirsHasGone) {
  const auto& family = families()[0];
  const Flavour flavour{.family = family, .protocol = kUdp};
  const auto talk = asking(flavour);
  expect_led(talk);
  node_.put_entrance(family.node, ServiceNode::port(4), kUdp, {.set = 1, .count = 1});
  expect_led(talk);
  const std::uint32_t gone = 4;
  ASSERT_EQ(bpf_map_delete_elem(netdev_.map("nk_backend_v1"), &gone), 0);
  expect_becomes(netdev_, talk, {talk.ends.from, 40000, family.pod, kBackendPort});
}

TEST_F(ServiceDirect, WithoutAWayThereItIsDroppedAndMayBeginAnew) {
  const auto talk = asking({.family = families()[0]});
  expect_led(talk);
  const nk_prefix4 pods{.length = 24, .address = htonl(0x0a000700)};
  ASSERT_EQ(bpf_map_delete_elem(netdev_.map("nk_tunnel4_v2"), &pods), 0);
  netdev_.set_epoch(77);
  auto more = talk;
  more.flags = kAck;
  expect_dropped(netdev_, more, NK_DROP_UNREACHABLE_BACKEND);
  EXPECT_TRUE(connection(talk)) << "a stream goes on when the tunnel is back";
  expect_dropped(netdev_, talk, NK_DROP_UNREACHABLE_BACKEND);
  EXPECT_FALSE(connection(talk));
}

TEST_F(ServiceDirect, AFullTableRefuses) {
  const Flavour flavour{.family = families()[0]};
  for (std::uint16_t port = 1000; node_.connections() < 64; ++port) {
    std::ignore = netdev_.run(frame(flavour.asking(flavour.family.client, port, 4)));
  }
  expect_dropped(netdev_, asking(flavour), NK_DROP_CONNECTIONS_FULL);
}

}  // namespace
}  // namespace netkite::bpf_tests
