// SPDX-License-Identifier: Apache-2.0
// What comes in on the uplink.
#include "bpf/tests/node.hpp"
#include "skel/from_netdev.skel.h"

namespace netkite::bpf_tests {
namespace {

using FromNetdev = OnNode<from_netdev>;

const std::vector<Case>& refused() {
  static const std::vector<Case> kRows = {
      {"a local pod's source", frame(Ip4{.from = "10.0.0.3", .to = "10.0.0.1"}), kDrop, NK_DROP_UPLINK_SPOOF},
      {"the target's own address as source", frame(Ip4{.from = "10.0.0.1", .to = "10.0.0.1"}), kDrop,
       NK_DROP_UPLINK_SPOOF},
      {"a local pod's source, options", frame(Ip4{.from = "10.0.0.3", .to = "10.0.0.1", .options = {1, 1, 1, 0}}),
       kDrop, NK_DROP_UPLINK_SPOOF},
      {"a local pod's source, last hop", frame(Ip4{.from = "10.0.0.3", .to = "10.0.0.1", .ttl = 1}), kDrop,
       NK_DROP_UPLINK_SPOOF},
      {"a local pod's source, IPv6", frame(Ip6{.from = "fd00::3", .to = "fd00::1"}), kDrop, NK_DROP_UPLINK_SPOOF},
      {"loopback source", frame(Ip4{.from = "127.0.0.1", .to = "10.0.0.1"}), kDrop, NK_DROP_LOOPBACK},
      {"loopback source, IPv6", frame(Ip6{.from = "::1", .to = "fd00::1"}), kDrop, NK_DROP_LOOPBACK},
  };
  return kRows;
}

const std::vector<Case>& not_ours() {
  static const Ip4 kGood4{.from = "10.0.9.7", .to = "10.0.0.1"};
  static const std::vector<Case> kRows = {
      {"for the node", frame(Ip4{.from = "10.0.9.7", .to = "192.0.2.1"}), kNext},
      {"for the node, IPv6", frame(Ip6{.from = "fd00:0:0:9::7", .to = "2001:db8::1"}), kNext},
      {"a local pod's source, but not for a pod", frame(Ip4{.from = "10.0.0.1", .to = "192.0.2.1"}), kNext},
      {"for an address that no pod has", frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.99"}), kNext},
      {"for a pod, from outside: connection tracking has to see it",
       frame(Ip4{.from = "198.51.100.1", .to = "10.0.0.1"}), kNext},
      {"for a pod, from outside, IPv6", frame(Ip6{.from = "2001:db8:1::1", .to = "fd00::1"}), kNext},
      {"for a pod that needs the stack", frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.4"}), kNext},
      {"for a pod that needs the stack, IPv6", frame(Ip6{.from = "fd00:0:0:9::7", .to = "fd00::4"}), kNext},
      {"the last hop", frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.1", .ttl = 1}), kNext},
      {"the last hop, IPv6", frame(Ip6{.from = "fd00:0:0:9::7", .to = "fd00::1", .hops = 1}), kNext},
      {"options", frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.1", .options = {1, 1, 1, 0}}), kNext},
      {"another version inside", frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.1", .first_byte = 0x65}), kNext},
      {"another version inside, IPv6", frame(Ip6{.from = "fd00:0:0:9::7", .to = "fd00::1", .first_byte = 0x45}), kNext},
      {"for another machine", frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.1", .destination = kPodMac}), kNext},
      {"a VLAN tag", tagged(frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.1"}), kVlan), kNext},
      {"ARP", frame(kArp, Bytes(28)), kNext},
  };
  return kRows;
}

TEST(FromNetdev, DeliversIntoThePod) {
  const FromNetdev node(kNetkit);
  const auto l3 = frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.3"}),
             l2 = frame(Ip4{.from = "192.0.2.9", .to = "10.0.0.2"});
  const auto l3v6 = frame(Ip6{.from = "fd00:0:0:9::7", .to = "fd00::3"}),
             l2v6 = frame(Ip6{.from = "2001:db8::9", .to = "fd00::2"});
  const auto ping = frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.3", .ttl = 2, .protocol = kIcmp, .payload = icmp(8)});
  const std::vector<Case> rows = {
      {"a pod of another node", l3, kRedirect, 0, forwarded(l3, kNoMac, kNoMac)},
      {"another node, to an L2 device: its MACs", l2, kRedirect, 0, forwarded(l2, kPodMac, kHostMac)},
      {"a pod of another node, IPv6", l3v6, kRedirect, 0, forwarded(l3v6, kNoMac, kNoMac)},
      {"another node, IPv6, to an L2 device", l2v6, kRedirect, 0, forwarded(l2v6, kPodMac, kHostMac)},
      {"a ping with one hop left", ping, kRedirect, 0, forwarded(ping, kNoMac, kNoMac)},
  };
  check(node.program, rows);
}

TEST(FromNetdev, LeavesTheRestAlone) {
  const FromNetdev node(kNetkit);
  check(node.program, not_ours());
  check(node.program, refused());
}

TEST(FromNetdev, NeverPastProgramsOnThePodsDevice) {
  for (const auto& config : {kNetkitHooks, kSlow}) {
    const FromNetdev node(config);
    check(node.program, not_ours());
    check(node.program, refused());
    check(node.program, Case{"for a pod", frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.3"}), kNext});
    check(node.program, Case{"for a pod, IPv6", frame(Ip6{.from = "fd00:0:0:9::7", .to = "fd00::3"}), kNext});
  }
}

}  // namespace
}  // namespace netkite::bpf_tests
