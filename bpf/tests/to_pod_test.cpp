// SPDX-License-Identifier: Apache-2.0
// What reaches a pod from its node.
#include "bpf/tests/node.hpp"
#include "skel/to_pod.skel.h"

namespace netkite::bpf_tests {
namespace {

using ToPod = OnNode<to_pod>;

const std::vector<Case>& refused() {
  static const std::vector<Case> kRows = {
      {"nobody's address", frame(Ip4{.to = "10.0.0.99"}), kDrop, NK_DROP_NOT_FOR_POD},
      {"nobody's address, IPv6", frame(Ip6{.to = "fd00::99"}), kDrop, NK_DROP_NOT_FOR_POD},
      {"multicast", frame(Ip4{.to = "224.0.0.1"}), kDrop, NK_DROP_NOT_FOR_POD},
      {"multicast, IPv6", frame(Ip6{.from = "fe80::1", .to = "ff02::1", .next = kIcmp6, .payload = icmp(134)}), kDrop,
       NK_DROP_NOT_FOR_POD},
      {"broadcast", frame(Ip4{.to = "255.255.255.255"}), kDrop, NK_DROP_NOT_FOR_POD},
      {"loopback destination", frame(Ip4{.to = "127.0.0.1"}), kDrop, NK_DROP_NOT_FOR_POD},
      {"loopback source", frame(Ip4{.from = "127.0.0.1", .to = "10.0.0.1"}), kDrop, NK_DROP_LOOPBACK},
      {"loopback source, IPv6", frame(Ip6{.from = "::1", .to = "fd00::1"}), kDrop, NK_DROP_LOOPBACK},
      {"ARP", frame(kArp, Bytes(28)), kDrop, NK_DROP_UNSUPPORTED_L3},
      {"a VLAN tag", tagged(frame(Ip4{.to = "10.0.0.1"}), kVlan), kDrop, NK_DROP_UNSUPPORTED_L3},
      {"IPv6 in an IPv4 frame", frame(Ip4{.to = "10.0.0.1", .first_byte = 0x65}), kDrop, NK_DROP_MALFORMED},
      {"IPv4 in an IPv6 frame", frame(Ip6{.to = "fd00::1", .first_byte = 0x45}), kDrop, NK_DROP_MALFORMED},
  };
  return kRows;
}

std::vector<Case> accepted(int verdict) {
  return {
      {"IPv4", frame(Ip4{.from = "192.0.2.1", .to = "10.0.0.1"}), verdict},
      {"with options", frame(Ip4{.from = "192.0.2.1", .to = "10.0.0.1", .options = {1, 1, 1, 0}}), verdict},
      {"the last hop", frame(Ip4{.from = "192.0.2.1", .to = "10.0.0.1", .ttl = 1}), verdict},
      {"IPv6", frame(Ip6{.from = "2001:db8::1", .to = "fd00::1"}), verdict},
      {"the host's link-local source", frame(Ip6{.from = "fe80::1", .to = "fd00::1"}), verdict},
  };
}

TEST(ToPod, OnNetkit) {
  const ToPod node(kNetkit);
  check(node.program, accepted(kPass));
  check(node.program, refused());
  // The pod's side shows its own interface number: any local pod's address passes.
  check(node.program, Case{"another pod's address", frame(Ip4{.to = "10.0.0.2"}), kPass});
}

TEST(ToPod, OnVethKnowsItsDevice) {
  const ToPod node(kVeth);
  check(node.program, accepted(kPass));
  check(node.program, refused());
  check(node.program, Case{"another pod's address", frame(Ip4{.to = "10.0.0.2"}), kDrop, NK_DROP_NOT_FOR_POD});
  check(node.program, Case{"another pod's address, IPv6", frame(Ip6{.to = "fd00::2"}), kDrop, NK_DROP_NOT_FOR_POD});
}

TEST(ToPod, WithProgramsBehind) {
  for (const auto& config : {kNetkitHooks, kVethHooks}) {
    const ToPod node(config);
    check(node.program, accepted(kNext));
    check(node.program, refused());
  }
}

}  // namespace
}  // namespace netkite::bpf_tests
