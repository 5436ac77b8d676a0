// SPDX-License-Identifier: Apache-2.0
// What programs remember between packets, and when they forget it.
#include <array>
#include <cstdio>

#include "bpf/tests/node.hpp"
#include "skel/from_netdev.skel.h"
#include "skel/from_pod.skel.h"

namespace netkite::bpf_tests {
namespace {

const Bytes& to_remote() {
  static const Bytes kFrame = frame(Ip4{.to = "10.0.9.7"});
  return kFrame;
}

const Bytes& to_remote6() {
  static const Bytes kFrame = frame(Ip6{.to = "fd00:0:0:9::7"});
  return kFrame;
}

TEST(Flow, RemembersTheWayUntilTheEpochChanges) {
  const OnNode<from_pod> node(kNetkit);
  node.program.set_epoch(1);
  EXPECT_EQ(node.program.run(to_remote()).verdict, kRedirect);
  EXPECT_EQ(node.program.run(to_remote6()).verdict, kRedirect);
  node.program.remove_remote("10.0.9.0", 24);
  node.program.remove_remote("fd00:0:0:9::", 64);
  EXPECT_EQ(node.program.run(to_remote()).verdict, kRedirect);
  EXPECT_EQ(node.program.run(to_remote6()).verdict, kRedirect);
  node.program.set_epoch(2);
  EXPECT_EQ(node.program.run(to_remote()).verdict, kPass);
  EXPECT_EQ(node.program.run(to_remote6()).verdict, kPass);
}

TEST(Flow, RemembersThatTheSourceIsProvenUntilTheEpochChanges) {
  const OnNode<from_pod> node(kNetkit);
  node.program.set_epoch(1);
  EXPECT_EQ(node.program.run(to_remote()).verdict, kRedirect);
  EXPECT_EQ(node.program.run(to_remote6()).verdict, kRedirect);
  node.program.remove_endpoint("10.0.0.1");
  node.program.remove_endpoint("fd00::1");
  EXPECT_EQ(node.program.run(to_remote()).verdict, kRedirect);
  node.program.set_epoch(2);
  EXPECT_EQ(node.program.run(to_remote()).verdict, kDrop);
  EXPECT_EQ(node.program.run(to_remote6()).verdict, kDrop);
}

TEST(Flow, RemembersNothingInEpochZero) {
  const OnNode<from_pod> node(kNetkit);
  EXPECT_EQ(node.program.run(to_remote()).verdict, kRedirect);
  EXPECT_EQ(node.program.run(to_remote6()).verdict, kRedirect);
  node.program.remove_remote("10.0.9.0", 24);
  node.program.remove_remote("fd00:0:0:9::", 64);
  EXPECT_EQ(node.program.run(to_remote()).verdict, kPass);
  EXPECT_EQ(node.program.run(to_remote6()).verdict, kPass);
}

TEST(Flow, ARefusalLeavesNothing) {
  const OnNode<from_pod> node(kNetkit);
  node.program.set_epoch(1);
  const auto spoofed = frame(Ip4{.from = "10.0.0.99", .to = "10.0.9.7"});
  EXPECT_EQ(node.program.run(spoofed).verdict, kDrop);
  node.program.add_endpoint("10.0.0.99",
                            {.ifindex = kDevice, .flags = 0, .pod_mac = {}, .host_mac = {}, .endpoint_id = 1});
  EXPECT_EQ(node.program.run(spoofed).verdict, kRedirect);
}

TEST(Flow, IntoThePod) {
  const OnNode<from_netdev> node(kNetkit);
  const auto in4 = frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.3"}),
             in6 = frame(Ip6{.from = "fd00:0:0:9::7", .to = "fd00::3"});
  node.program.set_epoch(1);
  for (const auto& each : {in4, in6}) EXPECT_EQ(node.program.run(each).verdict, kRedirect);
  node.program.remove_endpoint("10.0.0.3");
  node.program.remove_endpoint("fd00::3");
  for (const auto& each : {in4, in6}) EXPECT_EQ(node.program.run(each).verdict, kRedirect);
  node.program.set_epoch(2);
  for (const auto& each : {in4, in6}) EXPECT_EQ(node.program.run(each).verdict, kNext);
}

// Many more pairs of addresses than slots: taking turns in a slot changes no decision.
TEST(Flow, ManyFlowsShareTheSlots) {
  const OnNode<from_pod> node(kNetkit);
  node.program.set_epoch(1);
  for (int round = 0; round < 3; ++round) {
    for (int host = 1; host < 255; ++host) {
      const auto last = std::to_string(host);
      EXPECT_EQ(node.program.run(frame(Ip4{.to = "10.0.9." + last})).verdict, kRedirect);
      EXPECT_EQ(node.program.run(frame(Ip4{.to = "10.0.8." + last})).verdict, kPass);
      EXPECT_EQ(node.program.run(frame(Ip4{.from = "10.0.1." + last, .to = "10.0.9." + last})).verdict, kDrop);
      EXPECT_EQ(node.program.run(frame(Ip6{.to = "fd00:0:0:9::" + last})).verdict, kRedirect);
      EXPECT_EQ(node.program.run(frame(Ip6{.to = "fd00:0:0:8::" + last})).verdict, kPass);
    }
  }
}

// Each word of the addresses counts: of thousands of pairs that differ in one word, some fall into the first one's
// slot.
TEST(Flow, OnlyTheWholePairIsRemembered) {
  const OnNode<from_pod> node(kNetkit);
  node.program.set_epoch(1);
  const auto local4 = frame(Ip4{}), local6 = frame(Ip6{}), remote6 = frame(Ip6{.to = "fd00:0:0:9::2"});
  const auto at = [](int i) {
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "%x", i);
    return std::string(text.data());
  };
  const auto expect = [&](const Bytes& first, const Bytes& second, int verdict) {
    EXPECT_EQ(node.program.run(first).verdict, kRedirect);
    EXPECT_EQ(node.program.run(second).verdict, verdict);
  };
  for (int i = 0x10; i < 0x810; ++i) {
    const auto octets = std::to_string(i / 256 + 3) + "." + std::to_string(i % 256);
    expect(local4, frame(Ip4{.from = "10.0." + octets}), kDrop);
    expect(local4, frame(Ip4{.to = "10.1." + octets}), kPass);
    expect(local6, frame(Ip6{.from = "fd00:0:0:" + at(i) + "::1"}), kDrop);
    expect(local6, frame(Ip6{.from = "fd00::" + at(i)}), kDrop);
    expect(remote6, frame(Ip6{.to = "fd00:0:0:" + at(i) + "::2"}), kPass);
    expect(local6, frame(Ip6{.to = "fd00::" + at(i)}), kPass);
  }
}

}  // namespace
}  // namespace netkite::bpf_tests
