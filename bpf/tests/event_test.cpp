// SPDX-License-Identifier: Apache-2.0
// Drop events: only while somebody listens, and as much as the packet says.
#include <time.h>

#include "bpf/tests/node.hpp"
#include "skel/from_pod.skel.h"
#include "skel/to_pod.skel.h"

namespace netkite::bpf_tests {
namespace {

Bytes first(const nk_addr6& address, std::size_t count) { return {address.bytes, address.bytes + count}; }

nk_event only_event(const Program& program, const Bytes& frame) {
  program.set_monitor(true);
  EXPECT_EQ(program.run(frame).verdict, kDrop);
  const auto events = program.events();
  EXPECT_EQ(events.size(), 1U);
  return events.empty() ? nk_event{} : events.front();
}

TEST(Events, NoneUnlessMonitored) {
  const OnNode<from_pod> node(kNetkit);
  const auto bad = frame(Ip4{.from = "10.0.0.99"});
  (void)node.program.run(bad);
  EXPECT_TRUE(node.program.events().empty());
  node.program.set_monitor(true);
  (void)node.program.run(bad);
  EXPECT_EQ(node.program.events().size(), 1U);
  node.program.set_monitor(false);
  (void)node.program.run(bad);
  EXPECT_TRUE(node.program.events().empty());
}

TEST(Events, SayWhatWasRefused) {
  const OnNode<from_pod> node(kNetkit);
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto bad = frame(Ip4{.from = "10.0.0.99", .to = "10.0.0.3", .protocol = kUdp, .payload = udp()});
  const auto event = only_event(node.program, bad);
  EXPECT_GE(event.time_ns, static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U);
  EXPECT_EQ(event.reason, std::uint32_t{NK_DROP_SPOOFED_SOURCE});
  EXPECT_EQ(event.hook, std::uint32_t{NK_HOOK_FROM_POD});
  EXPECT_EQ(event.ifindex, kDevice);
  EXPECT_EQ(event.endpoint_id, kEndpointId);
  EXPECT_EQ(event.length, bad.size());
  EXPECT_EQ(event.protocol, kIpv4);
  EXPECT_EQ(event.family, AF_INET);
  EXPECT_EQ(event.l4_protocol, kUdp);
  EXPECT_EQ(first(event.source, 4), address("10.0.0.99"));
  EXPECT_EQ(first(event.destination, 4), address("10.0.0.3"));
  EXPECT_EQ(first(event.source, 16), address("10.0.0.99") + Bytes(12));
  EXPECT_EQ(event.source_port, 1000);
  EXPECT_EQ(event.destination_port, 2000);
}

TEST(Events, Ipv6) {
  const OnNode<from_pod> node(kNetkit);
  const auto event = only_event(node.program, frame(Ip6{.from = "fd00::99"}));
  EXPECT_EQ(event.protocol, kIpv6);
  EXPECT_EQ(event.family, AF_INET6);
  EXPECT_EQ(event.l4_protocol, kTcp);
  EXPECT_EQ(first(event.source, 16), address("fd00::99"));
  EXPECT_EQ(first(event.destination, 16), address("fd00::2"));
  EXPECT_EQ(event.destination_port, 2000);
}

TEST(Events, NoPortsWhereThereAreNone) {
  const OnNode<from_pod> node(kNetkit);
  for (const auto& bad :
       {frame(Ip4{.from = "10.0.0.99", .protocol = kIcmp, .payload = icmp(8)}),
        frame(Ip4{.from = "10.0.0.99", .fragment = 0x0010}), cut(frame(Ip4{.from = "10.0.0.99"}), 36)}) {
    const auto event = only_event(node.program, bad);
    EXPECT_EQ(event.source_port, 0);
    EXPECT_EQ(event.destination_port, 0);
    EXPECT_EQ(first(event.source, 4), address("10.0.0.99"));
  }
  const auto arp = only_event(node.program, frame(kArp, Bytes(28)));
  EXPECT_EQ(arp.protocol, kArp);
  EXPECT_EQ(arp.family, 0);
}

TEST(Events, ToPodNamesTheDeviceWhereItIsKnown) {
  const auto stray = frame(Ip4{.to = "10.0.0.99"});
  const OnNode<to_pod> veth(kVeth), netkit(kNetkit);
  const auto known = only_event(veth.program, stray);
  EXPECT_EQ(known.hook, std::uint32_t{NK_HOOK_TO_POD});
  EXPECT_EQ(known.ifindex, kDevice);
  EXPECT_EQ(known.endpoint_id, kEndpointId);
  const auto unknown = only_event(netkit.program, stray);
  EXPECT_EQ(unknown.ifindex, 0U);
  EXPECT_EQ(unknown.endpoint_id, 0U);
}

}  // namespace
}  // namespace netkite::bpf_tests
