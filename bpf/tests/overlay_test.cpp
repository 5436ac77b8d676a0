// SPDX-License-Identifier: Apache-2.0
// To and from the overlay device. A test run cannot say which tunnel a packet came out of: what from_overlay accepts is
// for tests/net/overlay_spoof.sh to see.
#include <bpf/bpf.h>

#include "bpf/tests/node.hpp"
#include "skel/from_netdev.skel.h"
#include "skel/from_overlay.skel.h"
#include "skel/from_pod.skel.h"
#include "skel/to_overlay.skel.h"

namespace netkite::bpf_tests {
namespace {

// The MACs of a frame on the overlay, and no hop less.
Bytes on_overlay(Bytes frame) {
  std::copy(kOverlayMac.begin(), kOverlayMac.end(), frame.begin());
  std::copy(kSenderMac.begin(), kSenderMac.end(), frame.begin() + 6);
  return frame;
}

std::uint16_t word(const Bytes& bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

Bytes part(const Bytes& bytes, std::size_t from, std::size_t length) {
  return {bytes.begin() + static_cast<long>(from), bytes.begin() + static_cast<long>(from + length)};
}

// RFC 1071: 0xffff over a header whose checksum is right.
std::uint32_t sum(const Bytes& header) {
  std::uint32_t total = 0;
  for (std::size_t i = 0; i < header.size(); i += 2) total += word(header, i);
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  return total;
}

constexpr std::size_t kOuterIp = kEthBytes, kOuterUdp = kOuterIp + 20, kVxlan = kOuterUdp + 8, kInner = kVxlan + 8;

void expect_wrapped(const Bytes& before, const Bytes& after) {
  ASSERT_EQ(after.size(), before.size() + 50);
  EXPECT_EQ(word(after, 12), kIpv4);
  EXPECT_EQ(after[kOuterIp], 0x45);
  EXPECT_EQ(word(after, kOuterIp + 2), after.size() - kEthBytes);
  EXPECT_EQ(word(after, kOuterIp + 6), 0) << "not to be cut, or a part";
  EXPECT_EQ(after[kOuterIp + 8], 64);
  EXPECT_EQ(after[kOuterIp + 9], kUdp);
  EXPECT_EQ(sum(part(after, kOuterIp, 20)), 0xffffU);
  EXPECT_EQ(part(after, kOuterIp + 12, 8), (Bytes{192, 0, 2, 1, 192, 0, 2, 7}));
  EXPECT_GE(word(after, kOuterUdp), 0xc000);
  EXPECT_EQ(word(after, kOuterUdp + 2), 8472);
  EXPECT_EQ(word(after, kOuterUdp + 4), after.size() - kOuterUdp);
  EXPECT_EQ(word(after, kOuterUdp + 6), 0);
  EXPECT_EQ(part(after, kVxlan, 8), (Bytes{8, 0, 0, 0, 1, 2, 3, 0}));
  EXPECT_EQ(part(after, kInner, before.size()), forwarded(before, kOverlayMac, kSenderMac));
}

TEST(FromPodToOverlay, IsWrappedHere) {
  const OnNode<from_pod> node(kOverlay);
  for (const auto epoch : {0U, 1U, 1U}) {
    node.program.set_epoch(epoch);
    for (const auto& each :
         {frame(Ip4{.to = "10.0.7.7"}), frame(Ip4{.to = "10.0.7.7", .payload = tcp(1410)}),
          frame(Ip6{.to = "fd00:0:0:7::7"}), frame(Ip4{.to = "10.0.7.7", .destination = kHostMac})}) {
      const auto outcome = node.program.run(each);
      EXPECT_EQ(outcome.verdict, kRedirect);
      expect_wrapped(each, outcome.frame);
    }
    const auto segments = frame(Ip4{.to = "10.0.7.7", .payload = tcp(2900)});
    EXPECT_EQ(node.program.run(segments, 1410).verdict, kRedirect);
    EXPECT_EQ(node.program.run(segments, 1411).verdict, kPass) << "larger than what fits";
  }
}

TEST(FromPodToOverlay, TheRestIsAsWithout) {
  const OnNode<from_pod> node(kOverlay);
  const auto native = frame(Ip4{.to = "10.0.9.7"}), local = frame(Ip4{.to = "10.0.0.3"});
  const auto over6 = frame(Ip4{.to = "10.0.6.7"});
  const std::vector<Case> rows = {
      {"over an IPv6 network: the device wraps it", over6, kRedirect, 0, forwarded(over6, kOverlayMac, kSenderMac)},
      {"a native node", native, kRedirect, 0, forwarded(native, kNoMac, kNoMac)},
      {"a pod of this node", local, kRedirect, 0, forwarded(local, kNoMac, kNoMac)},
      {"too big: the stack answers", frame(Ip4{.to = "10.0.7.7", .payload = tcp(1411)}), kPass},
      {"the last hop", frame(Ip4{.to = "10.0.7.7", .ttl = 1}), kPass},
      {"outside", frame(Ip4{.to = "198.51.100.1"}), kPass},
      {"a false source", frame(Ip4{.from = "10.0.7.7", .to = "10.0.7.8"}), kDrop, NK_DROP_SPOOFED_SOURCE},
  };
  check(node.program, rows);
}

TEST(FromPodToOverlay, WithoutOneItIsOutside) {
  const OnNode<from_pod> node(kNetkit);
  check(node.program, Case{"IPv4", frame(Ip4{.to = "10.0.7.7"}), kPass});
  check(node.program, Case{"IPv6", frame(Ip6{.to = "fd00:0:0:7::7"}), kPass});
}

TEST(FromNetdevBesideOverlay, PodsOfTheOverlayDoNotComeOnTheUplink) {
  const auto v4 = frame(Ip4{.from = "10.0.7.7", .to = "10.0.0.3"});
  const auto v6 = frame(Ip6{.from = "fd00:0:0:7::7", .to = "fd00::3"});
  const OnNode<from_netdev> overlay(kOverlay), native(kNetkit);
  check(overlay.program, Case{"IPv4", v4, kDrop, NK_DROP_UPLINK_SPOOF});
  check(overlay.program, Case{"IPv6", v6, kDrop, NK_DROP_UPLINK_SPOOF});
  check(native.program, Case{"from outside", v4, kNext});
  check(native.program, Case{"from outside, IPv6", v6, kNext});
}

// Entries of nk_flow4_v1 and nk_flow6_v1 as bpf/lib/flow.h has them, for a pod's packet out of a tunnel.
constexpr std::uint32_t kTunnel = ~0U;
struct Way {
  std::uint32_t mtu = ~0U, ifindex = kL3Device, kind = 0;
  std::array<std::uint32_t, 3> macs = {};
  std::array<std::uint8_t, 4> sender = {192, 0, 2, 7}, receiver = {192, 0, 2, 1};
};
template <std::size_t Bytes>
struct Flow {
  std::uint64_t epoch = 0;
  std::array<std::uint8_t, Bytes> pair = {};
  std::uint32_t device = kTunnel;
  Way way;
  std::uint32_t pad = 0;
};
static_assert(sizeof(Flow<8>) == 56 && sizeof(Flow<32>) == 80);

// Into every slot, since only programs know which one is a flow's.
template <std::size_t Bytes>
void remember(const Program& program, const char* map, const Flow<Bytes>& flow) {
  const std::vector<Flow<Bytes>> each_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()), flow);
  for (std::uint32_t slot = 0; slot < 256; ++slot) {
    ASSERT_EQ(bpf_map_update_elem(program.map(map), &slot, each_cpu.data(), BPF_ANY), 0);
  }
}

// As 192.0.2.7 wraps it for 192.0.2.1, like expect_wrapped().
Bytes wrapped(const Bytes& inner) {
  const auto length = inner.size() + 16;
  auto outer = frame(Ip4{.from = "192.0.2.7", .to = "192.0.2.1", .payload = Bytes(length)});
  outer[kOuterIp + 9] = kUdp;
  const auto set = [&outer](std::size_t at, std::size_t value) {
    outer[at] = static_cast<std::uint8_t>(value >> 8);
    outer[at + 1] = static_cast<std::uint8_t>(value);
  };
  set(kOuterUdp, 0xc001);
  set(kOuterUdp + 2, 8472);
  set(kOuterUdp + 4, length);
  const Bytes vxlan = {8, 0, 0, 0, 1, 2, 3, 0};
  std::copy(vxlan.begin(), vxlan.end(), outer.begin() + kVxlan);
  const auto inside = on_overlay(inner);
  std::copy(inside.begin(), inside.end(), outer.begin() + kInner);
  return outer;
}

class FromNetdevUnwraps : public ::testing::Test {
 protected:
  FromNetdevUnwraps() {
    Flow<8> flow4;
    Flow<32> flow6;
    flow4.epoch = flow6.epoch = kEpoch;
    std::copy_n(inner4.begin() + kEthBytes + 12, 8, flow4.pair.begin());
    std::copy_n(inner6.begin() + kEthBytes + 8, 32, flow6.pair.begin());
    remember(node.program, "nk_flow4_v1", flow4);
    remember(node.program, "nk_flow6_v1", flow6);
    node.program.set_epoch(kEpoch);
  }
  void expect_untouched(const char* what, const Bytes& bytes, std::uint32_t gso_size = 0) {
    SCOPED_TRACE(what);
    const auto outcome = node.program.run(bytes, gso_size);
    EXPECT_EQ(outcome.verdict, kNext);
    EXPECT_EQ(outcome.frame, bytes);
  }

  static constexpr std::uint64_t kEpoch = 1'000'000;
  OnNode<from_netdev> node{kOverlay};
  Bytes inner4 = frame(Ip4{.from = "10.0.7.7", .to = "10.0.0.3"});
  Bytes inner6 = frame(Ip6{.from = "fd00:0:0:7::7", .to = "fd00::3"});
};

TEST_F(FromNetdevUnwraps, WhatIsRemembered) {
  for (const auto& inner : {inner4, inner6}) {
    const auto outcome = node.program.run(wrapped(inner));
    EXPECT_EQ(outcome.verdict, kRedirect);
    EXPECT_EQ(outcome.frame, forwarded(inner, kNoMac, kNoMac));
  }
}

TEST_F(FromNetdevUnwraps, NothingElse) {
  struct Change {
    const char* what;
    std::size_t at;
    std::uint8_t value;
  };
  constexpr std::size_t kInnerIp = kInner + kEthBytes;
  const std::vector<Change> changes = {
      {"options", kOuterIp, 0x46},
      {"congestion on the way", kOuterIp + 1, 3},
      {"another length", kOuterIp + 3, 1},
      {"the first part", kOuterIp + 6, 0x20},
      {"a later part", kOuterIp + 7, 1},
      {"TCP", kOuterIp + 9, kTcp},
      {"another sender", kOuterIp + 15, 8},
      {"to another address", kOuterIp + 19, 2},
      {"another port", kOuterUdp + 3, 0x19},
      {"another length of UDP", kOuterUdp + 5, 9},
      {"a checksum", kOuterUdp + 7, 1},
      {"without a network", kVxlan, 0},
      {"an unknown flag", kVxlan + 1, 1},
      {"another network", kVxlan + 6, 4},
      {"a reserved byte", kVxlan + 7, 1},
      {"for another MAC", kInner + 5, 2},
      {"from another MAC", kInner + 11, 9},
      {"ARP", kInner + 13, 6},
      {"another protocol than the header's", kInnerIp, 0x75},
  };
  for (const auto& inner : {inner4, inner6}) {
    for (const auto& change : changes) {
      auto bytes = wrapped(inner);
      bytes[change.at] = change.value;
      expect_untouched(change.what, bytes);
    }
    expect_untouched("segments", wrapped(inner), 1000);
  }
  expect_untouched("another pair", wrapped(frame(Ip4{.from = "10.0.7.8", .to = "10.0.0.3"})));
  expect_untouched("another pair, IPv6", wrapped(frame(Ip6{.from = "fd00:0:0:7::8", .to = "fd00::3"})));
  expect_untouched("the last hop", wrapped(frame(Ip4{.from = "10.0.7.7", .to = "10.0.0.3", .ttl = 1})));
  expect_untouched("the last hop, IPv6", wrapped(frame(Ip6{.from = "fd00:0:0:7::7", .to = "fd00::3", .hops = 1})));
  node.program.set_epoch(kEpoch + 1);
  for (const auto& inner : {inner4, inner6}) expect_untouched("forgotten", wrapped(inner));
}

TEST(FromOverlay, NothingWithoutATunnel) {
  const OnNode<from_overlay> node(kOverlay);
  const std::vector<Case> rows = {
      {"for a pod", frame(Ip4{.from = "10.0.7.7", .to = "10.0.0.3"}), kDrop, NK_DROP_OVERLAY_FOREIGN},
      {"for a pod, IPv6", frame(Ip6{.from = "fd00:0:0:7::7", .to = "fd00::3"}), kDrop, NK_DROP_OVERLAY_FOREIGN},
      {"a native node's source", frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.3"}), kDrop, NK_DROP_OVERLAY_FOREIGN},
      {"nobody's source", frame(Ip4{.from = "198.51.100.1", .to = "10.0.0.3"}), kDrop, NK_DROP_OVERLAY_FOREIGN},
      {"another MAC", frame(Ip4{.from = "10.0.7.7", .to = "10.0.0.3", .destination = kPodMac}), kDrop,
       NK_DROP_OVERLAY_FOREIGN},
      {"another version inside", frame(Ip4{.from = "10.0.7.7", .first_byte = 0x65}), kDrop, NK_DROP_MALFORMED},
      {"another version inside, IPv6", frame(Ip6{.from = "fd00:0:0:7::7", .first_byte = 0x45}), kDrop,
       NK_DROP_MALFORMED},
      {"ARP", frame(kArp, Bytes(28)), kDrop, NK_DROP_UNSUPPORTED_L3},
      {"a VLAN tag", tagged(frame(Ip4{.from = "10.0.7.7"}), kVlan), kDrop, NK_DROP_UNSUPPORTED_L3},
  };
  check(node.program, rows);
}

TEST(ToOverlay, OnlyForNodesOfOurs) {
  const OnNode<to_overlay> node(kOverlay);
  const auto v4 = frame(Ip4{.from = "192.0.2.1", .to = "10.0.7.7"});
  const auto v6 = frame(Ip6{.from = "2001:db8::1", .to = "fd00:0:0:7::7"});
  const auto done = on_overlay(frame(Ip4{.to = "10.0.7.7"}));
  const std::vector<Case> rows = {
      {"the node's own", v4, kPass, 0, on_overlay(v4)},
      {"the node's own, IPv6", v6, kPass, 0, on_overlay(v6)},
      {"from_pod's", done, kPass},
      {"for nobody", frame(Ip4{.to = "198.51.100.1"}), kDrop, NK_DROP_NOT_FOR_POD},
      {"for a native node", frame(Ip4{.to = "10.0.9.7"}), kDrop, NK_DROP_NOT_FOR_POD},
      {"for a group", frame(Ip6{.from = "::", .to = "ff02::16"}), kDrop, NK_DROP_NOT_FOR_POD},
      {"ARP", frame(kArp, Bytes(28)), kDrop, NK_DROP_UNSUPPORTED_L3},
      {"a VLAN tag", tagged(v4, kVlan), kDrop, NK_DROP_UNSUPPORTED_L3},
  };
  check(node.program, rows);
}

}  // namespace
}  // namespace netkite::bpf_tests
