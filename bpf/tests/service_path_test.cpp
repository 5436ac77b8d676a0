// SPDX-License-Identifier: Apache-2.0
// What comes in on the uplink for a service: translated there and back, by the whole frame and its checksums.
#include <algorithm>

#include "bpf/tests/service_node.hpp"

namespace netkite::bpf_tests {
namespace {

TEST_F(ServicePath, ToAPodOfThisNodeAndBack) {
  each([&](const Flavour& flavour) {
    const auto ask = flavour.asking(flavour.family.client, 40000, 1);
    const Ends seen{
        .from = flavour.family.client, .from_port = 40000, .to = flavour.family.pod, .to_port = kBackendPort};
    expect_becomes(netdev_, ask, seen);
    expect_becomes(pod_, flavour.answer(seen), reversed(ask.ends));
    auto more = ask;
    more.flags = kAck;
    more.payload = Bytes(1001, 7);
    expect_becomes(netdev_, more, seen);
  });
  EXPECT_EQ(node_.connections(), 8U);
}

TEST_F(ServicePath, ToAPodOfAnotherNodeAndBack) {
  each([&](const Flavour& flavour) {
    const auto ask = flavour.asking(flavour.family.client, 40000, 2);
    const auto seen = expect_from_node(flavour, ask, flavour.family.remote);
    expect_becomes(netdev_, flavour.answer(seen), reversed(ask.ends));
  });
}

TEST_F(ServicePath, ToSomebodyOutsideAndBack) {
  each([&](const Flavour& flavour) {
    const auto ask = flavour.asking(flavour.family.client, 40000, 3);
    const auto seen = expect_from_node(flavour, ask, flavour.family.outside);
    expect_becomes(netdev_, flavour.answer(seen), reversed(ask.ends));
  });
}

TEST_F(ServicePath, WhoAsksFromInsideGetsAnswersThroughThisNode) {
  each([&](const Flavour& flavour) {
    for (const auto set : {1U, 5U}) {
      const auto ask = flavour.asking(flavour.family.inside, 40000, set);
      const auto seen = expect_from_node(flavour, ask, flavour.family.pod);
      expect_becomes(pod_, flavour.answer(seen), reversed(ask.ends));
    }
  });
}

TEST_F(ServicePath, ByTheStackToWhoAnswersByIt) {
  each([&](const Flavour& flavour) {
    for (const auto& [backend, set] : {std::pair(flavour.family.node, 8U), std::pair(flavour.family.hooked, 9U)}) {
      for (const auto& client : {flavour.family.client, flavour.family.inside}) {
        auto ask = flavour.asking(client, 40000, set);
        ask.hops = 1;  // the stack's to count
        const Ends seen{.from = client, .from_port = 40000, .to = backend, .to_port = kBackendPort};
        expect_at_stack(netdev_, ask, seen);
        expect_at_stack(egress_, flavour.answer(seen), reversed(ask.ends));
      }
      const auto unasked = flavour.answer({flavour.family.client, 41000, backend, kBackendPort});
      expect_at_stack(egress_, unasked, unasked.ends);
    }
  });
}

TEST_F(ServicePath, ByTheStackAPortThatIsUsedAnewPastTheServiceGetsAnswersAsTheyAre) {
  const Flavour flavour{.family = families()[0], .protocol = kTcp};
  auto ask = flavour.asking(flavour.family.client, 40000, 8);
  const Ends seen{
      .from = flavour.family.client, .from_port = 40000, .to = flavour.family.node, .to_port = kBackendPort};
  auto answer = flavour.answer(seen);
  for (const std::uint8_t flags : {kAck, kFin}) {
    expect_at_stack(netdev_, ask, seen);
    expect_at_stack(egress_, answer, reversed(ask.ends));
    ask.flags = answer.flags = static_cast<std::uint8_t>(flags | kAck);
  }
  expect_at_stack(netdev_, ask, seen);
  expect_at_stack(egress_, answer, reversed(ask.ends));
  answer.flags = kSyn | kAck;
  expect_at_stack(egress_, answer, answer.ends);
  EXPECT_EQ(node_.connections(), 0U);
}

TEST_F(ServicePath, ByTheStackTheClientsAddressStaysWhenItsPortIsTaken) {
  each([&](const Flavour& flavour) {
    const auto set = flavour.protocol == kTcp ? 8U : 9U;
    const auto ask = flavour.asking(flavour.family.client, 40000, set);
    expect_at_stack(netdev_, ask,
                    {ask.ends.from, 40000, set == 8 ? flavour.family.node : flavour.family.hooked, kBackendPort});
    node_.put_entrance(flavour.family.node, 30100, flavour.protocol,
                       {.set = ServiceNode::set_of(set, flavour.family.node), .count = 1});
    auto other = ask;
    other.ends.to_port = 30100;
    const auto seen = ends_of(netdev_.run(frame(other)).frame);
    EXPECT_EQ(seen.from, flavour.family.client);
    EXPECT_GE(seen.from_port, kFirstPort);
    expect_at_stack(netdev_, other, seen);
    expect_at_stack(egress_, flavour.answer(seen), reversed(other.ends));
  });
}

TEST_F(ServicePath, TwoEntrancesToOnePodDoNotMixUpAClientsConnections) {
  each([&](const Flavour& flavour) {
    const auto ask = flavour.asking(flavour.family.client, 40000, 1), other = flavour.asking(ask.ends.from, 40000, 5);
    expect_becomes(netdev_, ask, {ask.ends.from, 40000, flavour.family.pod, kBackendPort});
    const auto seen = expect_from_node(flavour, other, flavour.family.pod);
    expect_becomes(pod_, flavour.answer(seen), reversed(other.ends));
    expect_becomes(pod_, flavour.answer({ask.ends.from, 40000, flavour.family.pod, kBackendPort}), reversed(ask.ends));
  });
}

TEST_F(ServicePath, WhatIsNoServicesIsUntouched) {
  each([&](const Flavour& flavour) {
    const auto& family = flavour.family;
    auto other = flavour.asking(family.client, 40000, 1);
    other.ends.to_port = 22;
    check(netdev_, Case{"another port", frame(other), kNext});
    other.flags = kAck;
    check(netdev_, Case{"amid a connection of the node's own", frame(other), kNext});
    check(netdev_,
          Case{"cut short", cut(frame(other), frame(other).size() - (flavour.protocol == kTcp ? 8 : 34)), kNext});
    other.ends.to_port = ServiceNode::port(1);
    other.ends.to = family.balancer;
    check(netdev_, Case{"another address", frame(other), kNext});
    other.ends = {.from = family.pod, .from_port = kBackendPort, .to = family.client, .to_port = 1};
    check(pod_, Case{"a pod's to the outside", frame(other), kPass});
  });
  EXPECT_EQ(node_.connections(), 0U);
}

TEST_F(ServicePath, APodsSourceDoesNotComeInOnAnUplink) {
  each([&](const Flavour& flavour) {
    expect_dropped(netdev_, flavour.asking(flavour.family.pod, 40000, 1), NK_DROP_UPLINK_SPOOF);
  });
}

// Answers come out of the tunnel; what comes in their name on the uplink is somebody else's.
TEST_F(ServicePath, ToAPodThatIsReachedByTheOverlay) {
  const ServiceNode node(kServicesOverlay, kServicesOverlay);
  const auto& program = node.netdev.program;
  constexpr std::size_t kWrapping = 50;
  each([&](const Flavour& flavour) {
    const auto ask = flavour.asking(flavour.family.client, 40000, 4);
    const auto outcome = program.run(frame(ask));
    ASSERT_EQ(outcome.verdict, kRedirect);
    ASSERT_EQ(outcome.frame.size(), frame(ask).size() + kWrapping);
    const Bytes inner(outcome.frame.begin() + kWrapping, outcome.frame.end());
    const auto seen = ends_of(inner);
    EXPECT_EQ(seen, (Ends{flavour.family.node, seen.from_port, flavour.family.overlay, kBackendPort}));
    auto expected = frame(with_ends(ask, seen));
    std::ranges::copy(kOverlayMac, expected.begin());
    std::ranges::copy(kSenderMac, expected.begin() + 6);
    EXPECT_EQ(inner, expected);
    EXPECT_TRUE(node.connection(reversed(seen), flavour.protocol));
    expect_dropped(program, flavour.answer(seen), NK_DROP_UPLINK_SPOOF);
    auto big = ask;
    big.payload = Bytes(1500);
    EXPECT_EQ(program.run(frame(big)).verdict, kRedirect);
  });
  EXPECT_EQ(program.drops().back().reason, NK_DROP_TOO_BIG);
}

TEST_F(ServicePath, WhoAsksInAnOverlayPodsNameOnTheUplinkIsRefused) {
  const ServiceNode node(kServicesOverlay, kServicesOverlay);
  each([&](const Flavour& flavour) {
    expect_dropped(node.netdev.program, flavour.asking(flavour.family.overlay, 40000, 1), NK_DROP_UPLINK_SPOOF);
  });
}

TEST_F(ServicePath, ANodeOfTheOverlayAsksOnTheUplinkInItsOwnName) {
  const ServiceNode node(kServicesOverlay, kServicesOverlay);
  // Here packets come in on the uplink that leads to it.
  const nk_tunnel itself{.way = {.ifindex = kDevice, .mtu = 1450, .nexthop_family = AF_INET, .nexthop = {}},
                         .device = kOverlayDevice,
                         .family = AF_INET,
                         .node = {{192, 0, 2, 7}},
                         .local = {{192, 0, 2, 1}},
                         .flags = NK_TUNNEL_NODE};
  node.netdev.program.add_tunnel("192.0.2.7", 32, itself);
  node.netdev.program.add_tunnel("2001:db8::7", 128, itself);
  each([&](const Flavour& flavour) {
    const auto ask = flavour.asking(flavour.family.name == "IPv4" ? "192.0.2.7" : "2001:db8::7", 40000, 1);
    const auto seen = ends_of(node.netdev.program.run(frame(ask)).frame);
    EXPECT_EQ(seen, (Ends{flavour.family.node, seen.from_port, flavour.family.pod, kBackendPort}));
    expect_becomes(node.netdev.program, ask, seen);
    expect_becomes(node.pod.program, flavour.answer(seen), reversed(ask.ends));
  });
}

}  // namespace
}  // namespace netkite::bpf_tests
