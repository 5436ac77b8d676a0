// SPDX-License-Identifier: Apache-2.0
// The deny-list: verdicts, and counters that are exact.
#include "bpf/tests/node.hpp"
#include "skel/xdp_prefilter.skel.h"

namespace netkite::bpf_tests {
namespace {

constexpr int kXdpDrop = 1, kXdpPass = 2;

struct Prefilter {
  Prefilter() : program(OnNode<xdp_prefilter>::elf(), OnNode<xdp_prefilter>::size(), nk_config{}) {
    program.add_deny("203.0.113.0", 24);
    program.add_deny("203.0.113.128", 25);
    program.add_deny("198.51.100.7", 32);
    program.add_deny("2001:db8:bad::", 48);
    program.add_deny("2001:db8::7", 128);
  }
  Program program;
};

std::vector<Case> table() {
  const auto bad4 = frame(Ip4{.from = "203.0.113.9"}), bad6 = frame(Ip6{.from = "2001:db8:bad:1::1"});
  constexpr auto kReason = NK_DROP_DENIED_PREFIX;
  return {
      {"denied", bad4, kXdpDrop, kReason},
      {"denied, IPv6", bad6, kXdpDrop, kReason},
      {"one address", frame(Ip4{.from = "198.51.100.7"}), kXdpDrop, kReason},
      {"one address, IPv6", frame(Ip6{.from = "2001:db8::7"}), kXdpDrop, kReason},
      {"its neighbour", frame(Ip4{.from = "198.51.100.6"}), kXdpPass},
      {"its neighbour, IPv6", frame(Ip6{.from = "2001:db8::6"}), kXdpPass},
      {"first of the prefix", frame(Ip4{.from = "203.0.113.0"}), kXdpDrop, kReason},
      {"last of the prefix", frame(Ip4{.from = "203.0.113.255"}), kXdpDrop, kReason},
      {"before the prefix", frame(Ip4{.from = "203.0.112.255"}), kXdpPass},
      {"behind the prefix", frame(Ip4{.from = "203.0.114.0"}), kXdpPass},
      {"behind the prefix, IPv6", frame(Ip6{.from = "2001:db8:bae::"}), kXdpPass},
      {"denied as a destination only", frame(Ip4{.to = "203.0.113.9"}), kXdpPass},
      {"a VLAN tag", tagged(bad4, kVlan), kXdpDrop, kReason},
      {"a service tag and a VLAN tag", tagged(bad4, kQinq, 2), kXdpDrop, kReason},
      {"two tags, IPv6", tagged(bad6, kQinq, 2), kXdpDrop, kReason},
      {"three tags", tagged(bad4, kQinq, 3), kXdpPass},
      {"ARP", frame(kArp, Bytes(28)), kXdpPass},
      {"options", frame(Ip4{.from = "203.0.113.9", .options = {1, 1, 1, 0}}), kXdpDrop, kReason},
      {"a large frame", frame(Ip4{.from = "203.0.113.9", .payload = tcp(1400)}), kXdpDrop, kReason},
  };
}

TEST(XdpPrefilter, DeniesBySourcePrefix) {
  const Prefilter node;
  check(node.program, table());
}

TEST(XdpPrefilter, CountsExactlyAtTheLongestPrefix) {
  const Prefilter node;
  const auto low = frame(Ip4{.from = "203.0.113.9"}), high = frame(Ip4{.from = "203.0.113.200", .payload = tcp(100)});
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(node.program.run(low).verdict, kXdpDrop);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(node.program.run(tagged(high, kVlan)).verdict, kXdpDrop);
  const auto wide = node.program.denied("203.0.113.0", 24), narrow = node.program.denied("203.0.113.128", 25);
  EXPECT_EQ(wide.packets, 1000U);
  EXPECT_EQ(wide.bytes, 1000 * low.size());
  EXPECT_EQ(narrow.packets, 10U);
  EXPECT_EQ(narrow.bytes, 10 * (high.size() + 4));
  EXPECT_EQ(node.program.denied("198.51.100.7", 32).packets, 0U);
  EXPECT_EQ(
      node.program.drops(),
      (std::vector<Drop>{{.reason = NK_DROP_DENIED_PREFIX, .packets = 1010, .bytes = wide.bytes + narrow.bytes}}));
}

TEST(XdpPrefilter, EveryTruncationPasses) {
  const Prefilter node;
  const std::pair<Bytes, std::size_t> kFrames[] = {
      {frame(Ip4{.from = "203.0.113.9"}), kEthBytes + kIpv4Bytes},
      {frame(Ip6{.from = "2001:db8:bad:1::1"}), kEthBytes + kIpv6Bytes},
      {tagged(frame(Ip4{.from = "203.0.113.9"}), kVlan), kEthBytes + 4 + kIpv4Bytes},
      {tagged(frame(Ip6{.from = "2001:db8:bad:1::1"}), kQinq, 2), kEthBytes + 8 + kIpv6Bytes}};
  for (const auto& [whole, needed] : kFrames) {
    for (std::size_t length = kEthBytes; length < needed; ++length) {
      check(node.program, Case{"length " + std::to_string(length), cut(whole, length), kXdpPass});
    }
    check(node.program, Case{"just enough", cut(whole, needed), kXdpDrop, NK_DROP_DENIED_PREFIX});
  }
}

TEST(XdpPrefilter, TellsWhoeverListens) {
  const Prefilter node;
  (void)node.program.run(frame(Ip4{.from = "203.0.113.9"}));
  EXPECT_TRUE(node.program.events().empty());
  node.program.set_monitor(true);
  const auto bad = tagged(frame(Ip4{.from = "203.0.113.9"}), kVlan);
  (void)node.program.run(bad);
  const auto events = node.program.events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].reason, std::uint32_t{NK_DROP_DENIED_PREFIX});
  EXPECT_EQ(events[0].hook, std::uint32_t{NK_HOOK_XDP});
  EXPECT_EQ(events[0].length, bad.size());
  EXPECT_EQ(events[0].protocol, kIpv4);
  EXPECT_EQ(Bytes(events[0].source.bytes, events[0].source.bytes + 4), address("203.0.113.9"));
  EXPECT_EQ(events[0].source_port, 1000);
  EXPECT_EQ(events[0].destination_port, 2000);
}

}  // namespace
}  // namespace netkite::bpf_tests
