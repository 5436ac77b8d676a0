// SPDX-License-Identifier: Apache-2.0
// The same with XDP in front: what it passes on is what the reference foresees of tcx, what it leaves alone is
// untouched.
#include "bpf/tests/express_node.hpp"
#include "bpf/tests/reference_random.hpp"

namespace netkite::bpf_tests {
namespace {

// The reference's uplink has no MAC, the one here has. (Where frames come from is of no interest.)
Bytes arriving(Bytes packet) {
  const bool for_this_machine = reference::get(packet, 0, 2) == 0 && reference::get(packet, 2, 4) == 0;
  return for_this_machine ? with_macs(std::move(packet), kUplinkMac, kNoMac) : packet;
}

// Without MACs, which redirection to a neighbour writes, and XDP itself.
Bytes behind_macs(const Bytes& frame) { return {frame.begin() + 12, frame.end()}; }

class ReferenceWithXdp : public testing::Test {
 protected:
  static void SetUpTestSuite() { make_uplink(); }

  void expect_foreseen(const Bytes& packet, int verdict, const Bytes& frame, const reference::Answer& foreseen) const {
    ASSERT_TRUE(verdict == foreseen.verdict && behind_macs(frame) == behind_macs(foreseen.frame))
        << "verdict " << verdict << ", foreseen " << foreseen.verdict << " for " << foreseen.reason << "\npacket   "
        << hex(packet) << "\nbecame   " << hex(frame) << "\nforeseen " << hex(foreseen.frame);
  }
  void on_uplink(const Bytes& packet) {
    const auto foreseen = reference_.from_netdev(packet);
    const auto frame = arriving(packet);
    const auto first = node_.at_xdp(frame);
    ASSERT_EQ(first.status, 0);
    if (first.verdict == kXdpRedirect) {
      ++passed_on_;
      return expect_foreseen(packet, kRedirect, first.frame, foreseen);
    }
    ASSERT_EQ(first.verdict, kXdpPass) << hex(packet);
    ASSERT_EQ(first.frame, frame);
    const auto outcome = node_.at_tcx(frame);
    ASSERT_EQ(outcome.status, 0);
    expect_foreseen(packet, outcome.verdict, outcome.frame, foreseen);
  }
  void from_pod(const Bytes& packet) {
    const auto foreseen = reference_.from_pod(packet);
    const auto outcome = node_.pod.program.run(packet);
    ASSERT_EQ(outcome.status, 0);
    expect_foreseen(packet, outcome.verdict, outcome.frame, foreseen);
  }

  ExpressNode node_;
  reference::Node reference_;
  int passed_on_ = 0;
};

TEST_F(ReferenceWithXdp, ForeseesVerdictsAndBytes) {
  Packets packets(reference_, false);
  for (int round = 0; round < rounds(); ++round) {
    const bool netdev = packets.number(3) != 0;
    const auto packet = packets.next(netdev ? Sender::uplink : Sender::pod);
    netdev ? on_uplink(packet) : from_pod(packet);
    ASSERT_FALSE(HasFatalFailure()) << "round " << round << (netdev ? ", from the uplink" : ", from the pod");
    if (round % kBeforeForgetting != 0) continue;
    expect_same(node_, reference_);
    forget(node_.netdev.program);
    reference_.forget();
  }
  EXPECT_GT(passed_on_, rounds() / 100);
}

}  // namespace
}  // namespace netkite::bpf_tests
