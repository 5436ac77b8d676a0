// SPDX-License-Identifier: Apache-2.0
// What a pod sends: who may speak, and where it goes.
#include "bpf/tests/node.hpp"
#include "skel/from_pod.skel.h"

namespace netkite::bpf_tests {
namespace {

using FromPod = OnNode<from_pod>;

TEST(FromPod, ForwardsIpv4) {
  const FromPod node(kNetkit);
  const auto to_l2 = frame(Ip4{}), to_l3 = frame(Ip4{.to = "10.0.0.3", .protocol = kUdp, .payload = udp()});
  const auto remote = frame(Ip4{.to = "10.0.9.7"}), other_node = frame(Ip4{.to = "192.0.2.9"});
  const auto later_fragment = frame(Ip4{.protocol = kIcmp, .fragment = 0x0020, .payload = icmp(5)});
  const auto last_hop = frame(Ip4{.ttl = 2});
  const auto with_macs = frame(Ip4{.to = "10.0.0.3", .destination = kHostMac});
  const std::vector<Case> rows = {
      {"a pod on an L2 device: its MACs", to_l2, kRedirect, 0, forwarded(to_l2, kPodMac, kHostMac)},
      {"a pod on an L3 device: zero MACs", to_l3, kRedirect, 0, forwarded(to_l3, kNoMac, kNoMac)},
      {"from an L2 to an L3 device: MACs taken away", with_macs, kRedirect, 0, forwarded(with_macs, kNoMac, kNoMac)},
      {"another node's pod", remote, kRedirect, 0, forwarded(remote, kNoMac, kNoMac)},
      {"another node", other_node, kRedirect, 0, forwarded(other_node, kNoMac, kNoMac)},
      {"a later fragment, whatever its bytes", later_fragment, kRedirect, 0,
       forwarded(later_fragment, kPodMac, kHostMac)},
      {"a hop count of 2", last_hop, kRedirect, 0, forwarded(last_hop, kPodMac, kHostMac)},
      {"a hop count of 1: the stack answers", frame(Ip4{.ttl = 1}), kPass},
      {"a hop count of 0: the stack answers", frame(Ip4{.ttl = 0}), kPass},
      {"a remote pod, hop count of 1", frame(Ip4{.to = "10.0.9.7", .ttl = 1}), kPass},
      {"the node itself", frame(Ip4{.to = "192.0.2.1"}), kPass},
      {"outside", frame(Ip4{.to = "198.51.100.1"}), kPass},
      {"multicast", frame(Ip4{.to = "224.0.0.251", .protocol = kUdp, .payload = udp()}), kPass},
      {"broadcast", frame(Ip4{.to = "255.255.255.255", .protocol = kUdp, .payload = udp()}), kPass},
      {"link-local", frame(Ip4{.to = "169.254.1.1", .protocol = kIcmp, .payload = icmp(8)}), kPass},
      {"options: the stack knows them", frame(Ip4{.options = {148, 4, 0, 0}}), kPass},
  };
  check(node.program, rows);
}

TEST(FromPod, ForwardsIpv6) {
  const FromPod node(kNetkit);
  const auto to_l2 = frame(Ip6{}), to_l3 = frame(Ip6{.to = "fd00::3", .next = kUdp, .payload = udp()});
  const auto remote = frame(Ip6{.to = "fd00:0:0:9::7"}), other_node = frame(Ip6{.to = "2001:db8::9"});
  const auto echo = frame(Ip6{.next = kIcmp6, .payload = icmp(128)});
  const auto chain = frame(Ip6{.next = kHopByHop, .payload = extension(kDestination) + extension(kUdp, 16) + udp()});
  const auto last_hop = frame(Ip6{.hops = 2});
  const std::vector<Case> rows = {
      {"a pod on an L2 device: its MACs", to_l2, kRedirect, 0, forwarded(to_l2, kPodMac, kHostMac)},
      {"a pod on an L3 device: zero MACs", to_l3, kRedirect, 0, forwarded(to_l3, kNoMac, kNoMac)},
      {"another node's pod", remote, kRedirect, 0, forwarded(remote, kNoMac, kNoMac)},
      {"another node", other_node, kRedirect, 0, forwarded(other_node, kNoMac, kNoMac)},
      {"an echo request", echo, kRedirect, 0, forwarded(echo, kPodMac, kHostMac)},
      {"extension headers", chain, kRedirect, 0, forwarded(chain, kPodMac, kHostMac)},
      {"a hop limit of 2", last_hop, kRedirect, 0, forwarded(last_hop, kPodMac, kHostMac)},
      {"a hop limit of 1: the stack answers", frame(Ip6{.hops = 1}), kPass},
      {"a hop limit of 0: the stack answers", frame(Ip6{.hops = 0}), kPass},
      {"the node itself", frame(Ip6{.to = "2001:db8::1"}), kPass},
      {"outside", frame(Ip6{.to = "2001:db8:1::1"}), kPass},
      {"multicast", frame(Ip6{.to = "ff02::fb", .next = kUdp, .payload = udp()}), kPass},
      {"link-local", frame(Ip6{.to = "fe80::1", .next = kIcmp6, .payload = icmp(135)}), kPass},
  };
  check(node.program, rows);
}

TEST(FromPod, LeavesWhatIsTooBigToTheStack) {
  const FromPod node(kNetkit);
  const auto fits4 = frame(Ip4{.to = "10.0.9.7", .payload = tcp(1460)}),
             fits6 = frame(Ip6{.to = "fd00:0:0:9::7", .payload = tcp(1440)});
  const auto big4 = frame(Ip4{.to = "10.0.9.7", .payload = tcp(1461)}),
             big6 = frame(Ip6{.to = "fd00:0:0:9::7", .payload = tcp(1441)});
  const auto local = frame(Ip4{.payload = tcp(1461)});
  const std::vector<Case> rows = {
      {"1500 bytes", fits4, kRedirect, 0, forwarded(fits4, kNoMac, kNoMac)},
      {"1500 bytes, IPv6", fits6, kRedirect, 0, forwarded(fits6, kNoMac, kNoMac)},
      {"1501 bytes", big4, kPass},
      {"1501 bytes, IPv6", big6, kPass},
      {"1501 bytes on the same node", local, kRedirect, 0, forwarded(local, kPodMac, kHostMac)},
      {"segments of 1500 bytes", big4, kRedirect, 0, forwarded(big4, kNoMac, kNoMac), 1460},
      {"segments of 1501 bytes", big4, kPass, 0, {}, 1461},
      {"segments of 1500 bytes, IPv6", big6, kRedirect, 0, forwarded(big6, kNoMac, kNoMac), 1440},
      {"segments of 1501 bytes, IPv6", big6, kPass, 0, {}, 1441},
      {"segments of another protocol",
       frame(Ip4{.to = "10.0.9.7", .protocol = kUdp, .payload = tcp(1461)}),
       kPass,
       0,
       {},
       1000},
  };
  check(node.program, rows);
}

TEST(FromPod, ProvesTheSource) {
  const FromPod node(kNetkit);
  check(
      node.program,
      {
          {"a stranger's address", frame(Ip4{.from = "10.0.0.99"}), kDrop, NK_DROP_SPOOFED_SOURCE},
          {"another pod's address", frame(Ip4{.from = "10.0.0.2", .to = "10.0.0.3"}), kDrop, NK_DROP_SPOOFED_SOURCE},
          {"the node's address", frame(Ip4{.from = "192.0.2.1"}), kDrop, NK_DROP_SPOOFED_SOURCE},
          {"a multicast source", frame(Ip4{.from = "224.0.0.1"}), kDrop, NK_DROP_SPOOFED_SOURCE},
          {"spoofed, with options", frame(Ip4{.from = "10.0.0.99", .options = {1, 1, 1, 0}}), kDrop,
           NK_DROP_SPOOFED_SOURCE},
          {"spoofed, to multicast", frame(Ip4{.from = "10.0.0.99", .to = "224.0.0.1"}), kDrop, NK_DROP_SPOOFED_SOURCE},
          {"DHCP", frame(Ip4{.from = "0.0.0.0", .to = "255.255.255.255"}), kDrop, NK_DROP_UNSPECIFIED_SOURCE},
          {"a stranger's address, IPv6", frame(Ip6{.from = "fd00::99"}), kDrop, NK_DROP_SPOOFED_SOURCE},
          {"another pod's address, IPv6", frame(Ip6{.from = "fd00::2"}), kDrop, NK_DROP_SPOOFED_SOURCE},
          {"a link-local source", frame(Ip6{.from = "fe80::1"}), kDrop, NK_DROP_SPOOFED_SOURCE},
          {"the first 15 bytes are the pod's", frame(Ip6{.from = "fd00::ff01"}), kDrop, NK_DROP_SPOOFED_SOURCE},
          {"a multicast report before there is an address",
           frame(Ip6{.from = "::", .to = "ff02::16", .next = kHopByHop, .payload = extension(kIcmp6) + icmp(143)}),
           kDrop, NK_DROP_UNSPECIFIED_SOURCE},
          {"loopback source", frame(Ip4{.from = "127.0.0.1"}), kDrop, NK_DROP_LOOPBACK},
          {"loopback source, end of the range", frame(Ip4{.from = "127.255.255.255"}), kDrop, NK_DROP_LOOPBACK},
          {"loopback destination", frame(Ip4{.to = "127.0.0.1"}), kDrop, NK_DROP_LOOPBACK},
          {"loopback destination, hop count of 1", frame(Ip4{.to = "127.1.2.3", .ttl = 1}), kDrop, NK_DROP_LOOPBACK},
          {"loopback source, IPv6", frame(Ip6{.from = "::1"}), kDrop, NK_DROP_LOOPBACK},
          {"loopback destination, IPv6", frame(Ip6{.to = "::1"}), kDrop, NK_DROP_LOOPBACK},
          {"below loopback", frame(Ip4{.to = "126.255.255.255"}), kPass},
          {"above loopback", frame(Ip4{.to = "128.0.0.0"}), kPass},
      });
}

TEST(FromPod, NamesAMissingFamilyAndAMissingDevice) {
  const FromPod node(kNetkit);
  node.program.set_device(kDevice, {.flags = NK_EP_IPV6, .endpoint_id = kEndpointId});
  check(node.program, Case{"no IPv4", frame(Ip4{.from = "10.0.0.99"}), kDrop, NK_DROP_NO_IPV4});
  node.program.set_device(kDevice, {.flags = NK_EP_IPV4, .endpoint_id = kEndpointId});
  check(node.program, Case{"no IPv6", frame(Ip6{.from = "fd00::99"}), kDrop, NK_DROP_NO_IPV6});
  check(node.program, Case{"no IPv6, not even unspecified", frame(Ip6{.from = "::"}), kDrop, NK_DROP_NO_IPV6});
  node.program.remove_device(kDevice);
  check(node.program, Case{"no device", frame(Ip4{.from = "10.0.0.99"}), kDrop, NK_DROP_UNKNOWN_DEVICE});
  check(node.program, Case{"no device, IPv6", frame(Ip6{.from = "fd00::99"}), kDrop, NK_DROP_UNKNOWN_DEVICE});
}

TEST(FromPod, RefusesControlOfOthersRouting) {
  const FromPod node(kNetkit);
  const auto ra = icmp(134), redirect6 = icmp(137), echo = icmp(128);
  Bytes auth(12);
  auth.at(0) = kIcmp6;
  auth.at(1) = 1;
  Bytes chain;
  for (int i = 0; i < 8; ++i) chain = chain + extension(kDestination);
  check(
      node.program,
      {
          {"router advertisement",
           frame(Ip6{.from = "fe80::1", .to = "ff02::1", .hops = 255, .next = kIcmp6, .payload = ra}), kDrop,
           NK_DROP_ROUTER_ADVERTISEMENT},
          {"with the pod's own source", frame(Ip6{.next = kIcmp6, .payload = ra}), kDrop, NK_DROP_ROUTER_ADVERTISEMENT},
          {"behind extension headers",
           frame(Ip6{.next = kHopByHop,
                     .payload = extension(kRouting) + extension(kDestination, 24, 2) + extension(kIcmp6, 16) + ra}),
           kDrop, NK_DROP_ROUTER_ADVERTISEMENT},
          {"in a first fragment", frame(Ip6{.next = kFragment, .payload = fragment(kIcmp6, 0, true) + ra}), kDrop,
           NK_DROP_ROUTER_ADVERTISEMENT},
          {"behind an authentication header", frame(Ip6{.next = kAuth, .payload = auth + ra}), kDrop,
           NK_DROP_ROUTER_ADVERTISEMENT},
          {"behind seven headers", frame(Ip6{.next = kDestination, .payload = cut(chain, 48) + extension(kIcmp6) + ra}),
           kDrop, NK_DROP_ROUTER_ADVERTISEMENT},
          {"behind more headers than anybody needs", frame(Ip6{.next = kDestination, .payload = chain + ra}), kDrop,
           NK_DROP_MALFORMED},
          {"redirect, IPv6", frame(Ip6{.next = kIcmp6, .payload = redirect6}), kDrop, NK_DROP_REDIRECT},
          {"redirect", frame(Ip4{.protocol = kIcmp, .payload = icmp(5)}), kDrop, NK_DROP_REDIRECT},
          {"redirect behind options", frame(Ip4{.protocol = kIcmp, .options = {1, 1, 1, 1}, .payload = icmp(5)}), kDrop,
           NK_DROP_REDIRECT},
          {"redirect in a first fragment", frame(Ip4{.protocol = kIcmp, .fragment = 0x2000, .payload = icmp(5)}), kDrop,
           NK_DROP_REDIRECT},
          {"loose source route", frame(Ip4{.options = {131, 7, 4, 10, 0, 0, 3, 0}}), kDrop, NK_DROP_SOURCE_ROUTE},
          {"strict source route behind others", frame(Ip4{.options = {1, 148, 4, 0, 0, 137, 7, 4, 10, 0, 0, 3}}), kDrop,
           NK_DROP_SOURCE_ROUTE},
          {"behind the end of options", frame(Ip4{.options = {0, 131, 7, 4}}), kPass},
          {"inside another option", frame(Ip4{.options = {7, 8, 4, 131, 137, 131, 137, 0}}), kPass},
          {"forty bytes of options", frame(Ip4{.options = Bytes(40, 1)}), kPass},
          {"an option of no length", frame(Ip4{.options = {7, 0, 0, 0}}), kDrop, NK_DROP_MALFORMED},
          {"an option beyond the header", frame(Ip4{.options = {7, 5, 0, 0}}), kDrop, NK_DROP_MALFORMED},
          {"an option's length beyond the header", frame(Ip4{.options = {1, 1, 1, 7}}), kDrop, NK_DROP_MALFORMED},
          {"routing header 0", frame(Ip6{.next = kRouting, .payload = extension(kTcp, 24, 0) + tcp()}), kDrop,
           NK_DROP_SOURCE_ROUTE},
          {"routing header 0, second",
           frame(Ip6{.next = kHopByHop, .payload = extension(kRouting) + extension(kTcp, 24, 0) + tcp()}), kDrop,
           NK_DROP_SOURCE_ROUTE},
      });
  const auto later = frame(Ip6{.next = kFragment, .payload = fragment(kIcmp6, 1, false) + ra});
  check(node.program, Case{"not a header: a later fragment", later, kRedirect, 0, forwarded(later, kPodMac, kHostMac)});
}

TEST(FromPod, RefusesWhatIsNotIp) {
  const FromPod node(kNetkit);
  const std::vector<Case> rows = {
      {"ARP", frame(kArp, Bytes(28)), kDrop, NK_DROP_UNSUPPORTED_L3},
      {"MPLS", frame(0x8847, Bytes(60)), kDrop, NK_DROP_UNSUPPORTED_L3},
      {"a length instead of a type", frame(0x0040, Bytes(64)), kDrop, NK_DROP_UNSUPPORTED_L3},
      {"a VLAN tag", tagged(frame(Ip4{}), kVlan), kDrop, NK_DROP_UNSUPPORTED_L3},
      {"IPv6 in an IPv4 frame", frame(Ip4{.first_byte = 0x65}), kDrop, NK_DROP_MALFORMED},
      {"IPv4 in an IPv6 frame", frame(Ip6{.first_byte = 0x40}), kDrop, NK_DROP_MALFORMED},
      {"an IPv4 header of 16 bytes", frame(Ip4{.first_byte = 0x44}), kDrop, NK_DROP_MALFORMED},
  };
  check(node.program, rows);
}

// Shorter frames than this: live_test.cpp, since BPF_PROG_TEST_RUN of recent kernels refuses them.
TEST(FromPod, TruncatedBehindTheAddresses) {
  const FromPod node(kNetkit);
  const auto ping = frame(Ip4{.protocol = kIcmp, .payload = icmp(8)}), options = frame(Ip4{.options = Bytes(8, 1)});
  const auto chain = frame(Ip6{.next = kHopByHop, .payload = extension(kDestination) + extension(kIcmp6) + icmp(128)});
  check(node.program, Case{"ICMP", cut(ping, 34), kDrop, NK_DROP_MALFORMED});
  for (std::size_t length = 34; length < 42; ++length) {
    check(node.program, Case{"options " + std::to_string(length), cut(options, length), kDrop, NK_DROP_MALFORMED});
  }
  // Only the bytes of a header that are looked at have to be there; the receiver refuses the rest.
  for (const std::size_t length : {54U, 57U, 62U, 65U, 70U}) {
    check(node.program, Case{"chain " + std::to_string(length), cut(chain, length), kDrop, NK_DROP_MALFORMED});
  }
  const auto whole4 = cut(ping, 35), whole6 = cut(frame(Ip6{}), 54);
  check(node.program, Case{"no more than is looked at", whole4, kRedirect, 0, forwarded(whole4, kPodMac, kHostMac)});
  check(node.program, Case{"the IPv6 header alone", whole6, kRedirect, 0, forwarded(whole6, kPodMac, kHostMac)});
}

// Whoever rewrites a pod's packets in the stack must see both directions there.
TEST(FromPod, LeavesPodsThatNeedTheStackToIt) {
  const FromPod node(kNetkit);
  check(node.program,
        {{"to one", frame(Ip4{.to = "10.0.0.4"}), kPass},
         {"to one, IPv6", frame(Ip6{.to = "fd00::4"}), kPass},
         {"from one to a pod", frame(Ip4{.from = "10.0.0.5"}), kPass},
         {"from one to a pod, IPv6", frame(Ip6{.from = "fd00::5"}), kPass},
         {"from one to another node", frame(Ip4{.from = "10.0.0.5", .to = "10.0.9.7"}), kPass},
         {"from one to another node, IPv6", frame(Ip6{.from = "fd00::5", .to = "fd00:0:0:9::7"}), kPass}});
}

TEST(FromPod, AcceptsInsteadOfForwarding) {
  const std::vector<Bytes> frames = {frame(Ip4{}), frame(Ip4{.to = "10.0.9.7"}), frame(Ip6{}),
                                     frame(Ip6{.to = "fd00:0:0:9::7"})};
  const FromPod slow(kSlow), hooks(kNetkitHooks), veth_hooks(kVethHooks);
  for (const auto& each : frames) {
    check(slow.program, Case{"without the fast path", each, kPass});
    check(hooks.program, Case{"programs behind ours", each, kNext});
    check(veth_hooks.program, Case{"programs behind ours on veth", each, kNext});
  }
  for (const auto* node : {&slow, &hooks, &veth_hooks}) {
    check(node->program, Case{"spoofed", frame(Ip4{.from = "10.0.0.99"}), kDrop, NK_DROP_SPOOFED_SOURCE});
    check(node->program, Case{"loopback", frame(Ip6{.to = "::1"}), kDrop, NK_DROP_LOOPBACK});
  }
}

}  // namespace
}  // namespace netkite::bpf_tests
