// SPDX-License-Identifier: Apache-2.0
// What comes in on the uplink for a service: translated there and back, by the whole frame and its checksums.
#include <cerrno>

#include "bpf/tests/service_node.hpp"

namespace netkite::bpf_tests {
namespace {

Talk with_ends(Talk talk, const Ends& ends) {
  talk.ends = ends;
  --talk.hops;
  return talk;
}

// The frame leaves with these ends, one hop less and right checksums; with a sum beside it, too.
void expect_becomes(const Program& program, const Talk& talk, const Ends& ends) {
  const auto before = program.drops();
  const auto outcome = program.run(frame(talk));
  ASSERT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.verdict, kRedirect);
  EXPECT_EQ(outcome.frame, frame(with_ends(talk, ends)));
  EXPECT_EQ(ends_of(outcome.frame), ends);
  EXPECT_EQ(difference(before, program.drops()), std::vector<Drop>{});
  const auto summed = program.run_summed(frame(talk));
  if (summed.status == -EINVAL) return;  // an older kernel cannot
  EXPECT_EQ(summed.status, 0) << "the sum over the packet is wrong now";
  EXPECT_EQ(summed.frame, outcome.frame);
}

void expect_dropped(const Program& program, const Talk& talk, std::uint32_t reason) {
  check_once(program, Case{"", frame(talk), kDrop, reason});
}

struct Flavour {
  Family family;
  std::uint8_t protocol = kTcp;
  [[nodiscard]] Talk asking(const std::string& client, std::uint16_t port, std::uint32_t set) const {
    return {.ends = {.from = client, .from_port = port, .to = family.node, .to_port = ServiceNode::port(set)},
            .protocol = protocol,
            .payload = Bytes(protocol == kUdp ? 33 : 0, 0xa5)};
  }
  // The other side's next packet.
  [[nodiscard]] Talk answer(const Ends& seen) const {
    return {.ends = reversed(seen), .protocol = protocol, .flags = kSyn | kAck, .payload = Bytes(40, 0x5a)};
  }
};

class ServicePath : public testing::Test {
 protected:
  ServiceNode node_;
  const Program& netdev_ = node_.netdev.program;
  const Program& pod_ = node_.pod.program;

  template <typename Body>
  static void each(const Body& body) {
    for (const auto& family : families()) {
      for (const auto protocol : {kTcp, kUdp}) {
        SCOPED_TRACE(family.name + (protocol == kTcp ? " TCP" : " UDP"));
        body(Flavour{.family = family, .protocol = protocol});
      }
    }
  }
  // With this node as the sender; returns the ends that the backend sees.
  Ends expect_from_node(const Flavour& flavour, const Talk& talk, const std::string& backend) const {
    const auto outcome = netdev_.run(frame(talk));
    const auto seen = ends_of(outcome.frame);
    EXPECT_GE(seen.from_port, kFirstPort);
    expect_becomes(netdev_, talk,
                   {.from = flavour.family.node, .from_port = seen.from_port, .to = backend, .to_port = kBackendPort});
    return seen;
  }
};

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

TEST_F(ServicePath, IsRefused) {
  each([&](const Flavour& flavour) {
    const auto& family = flavour.family;
    auto last = flavour.asking(family.client, 40000, 1);
    last.hops = 1;
    expect_dropped(netdev_, last, NK_DROP_HOP_LIMIT);
    expect_dropped(netdev_, flavour.asking(family.pod, 40000, 1), NK_DROP_UPLINK_SPOOF);
    expect_dropped(netdev_, flavour.asking(family.client, 40000, 7), NK_DROP_NO_BACKEND);
    auto big = flavour.asking(family.client, 40001, 2);
    big.payload = Bytes(1500);
    expect_dropped(netdev_, big, NK_DROP_TOO_BIG);
  });
}

}  // namespace
}  // namespace netkite::bpf_tests
