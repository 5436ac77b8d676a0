// SPDX-License-Identifier: Apache-2.0
// Random packets through from_netdev, from_pod, to_netdev and to_pod and through the reference: the same verdicts,
// bytes, counts and connections. NETKITE_RANDOM_PACKETS says how many.
#include "bpf/tests/reference_random.hpp"

namespace netkite::bpf_tests {
namespace {

void compare(const ServiceNode& node, reference::Node& reference, Packets& packets,
             const std::vector<std::uint32_t>& reasons) {
  const Program *netdev = &node.netdev.program, *pod = &node.pod.program, *to_uplink = &node.to_uplink.program,
                *to_device = &node.to_device.program;
  std::uint64_t epoch = 1;
  bool before = true;
  std::map<std::uint32_t, std::uint64_t> expected;
  std::map<int, int> verdicts;
  int answered = 0, answered_inside = 0;
  for (int round = 0; round < rounds(); ++round) {
    const bool from_netdev = packets.number(3) != 0;
    // Here both see packets on one device, and would take what the other has remembered for their own.
    if (from_netdev != before) netdev->set_epoch(++epoch);
    before = from_netdev;
    const bool leaves = packets.number(4) == 0, enters = !leaves && packets.number(6) == 0;
    const auto packet = packets.next(enters ? Sender::stack : from_netdev ? Sender::uplink : Sender::pod);
    const auto foreseen = leaves        ? reference.to_netdev(packet)
                          : enters      ? reference.to_pod(packet)
                          : from_netdev ? reference.from_netdev(packet)
                                        : reference.from_pod(packet);
    const auto outcome = (leaves ? to_uplink : enters ? to_device : from_netdev ? netdev : pod)->run(packet);
    ASSERT_EQ(outcome.status, 0) << "round " << round;
    ASSERT_TRUE(outcome.verdict == foreseen.verdict && outcome.frame == foreseen.frame)
        << "round " << round
        << (leaves        ? ", to the uplink"
            : enters      ? ", to the pod"
            : from_netdev ? ", from the uplink"
                          : ", from the pod")
        << "\nverdict " << outcome.verdict << ", foreseen " << foreseen.verdict << " for " << foreseen.reason
        << "\npacket   " << hex(packet) << "\nbecame   " << hex(outcome.frame) << "\nforeseen " << hex(foreseen.frame);
    if (foreseen.reason != 0) ++expected[foreseen.reason];
    ++verdicts[outcome.verdict];
    if (leaves && outcome.frame != packet) ++answered;
    if (enters && outcome.frame != packet) ++answered_inside;
    if (round % kBeforeForgetting != 0) continue;
    expect_same(node, reference);
    forget(*netdev);
    reference.forget();
  }
  std::map<std::uint32_t, std::uint64_t> counted;
  for (const auto* program : {netdev, pod, to_uplink, to_device}) {
    for (const auto& drop : program->drops()) counted[drop.reason] = drop.packets;
  }
  EXPECT_EQ(counted, expected);
  EXPECT_GT(verdicts[kRedirect], rounds() / 6);
  EXPECT_GT(answered, rounds() / 50);
  EXPECT_GT(answered_inside, rounds() / 5000);
  for (const auto reason : reasons) EXPECT_GT(counted[reason], 0U) << reason;
}

// All that a packet can be refused for here; ports never run out.
const std::vector<std::uint32_t> kReasons = {NK_DROP_NO_BACKEND,    NK_DROP_CONNECTIONS_FULL, NK_DROP_NO_CONNECTION,
                                             NK_DROP_HOP_LIMIT,     NK_DROP_TOO_BIG,          NK_DROP_UPLINK_SPOOF,
                                             NK_DROP_SPOOFED_SOURCE};

TEST(Reference, ForeseesVerdictsAndBytes) {
  stand_in_a_namespace();
  const ServiceNode node;
  reference::Node reference;
  Packets packets(reference, false);
  compare(node, reference, packets, kReasons);
}

TEST(Reference, ForeseesThemWithMasquerade) {
  stand_in_a_namespace();
  const MasqueradeNode node(with_services(kMasquerade));
  reference::Node reference(true);
  Packets packets(reference, true);
  compare(node, reference, packets, kReasons);
}

}  // namespace
}  // namespace netkite::bpf_tests
