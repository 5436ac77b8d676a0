// SPDX-License-Identifier: Apache-2.0
// When what a limited pod sends may depart. Times lie ahead, so that they do not depend on how fast the test is.
#include <bpf/bpf.h>

#include <ctime>

#include "bpf/tests/node.hpp"
#include "skel/from_pod.skel.h"

namespace netkite::bpf_tests {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kRate = 1'000'000;  // bytes per second: one byte takes a microsecond
constexpr std::uint64_t kByte = kSecond / kRate;

std::uint64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * kSecond + static_cast<std::uint64_t>(time.tv_nsec);
}

class Pace : public testing::TestWithParam<bool> {
 protected:
  // A limit whose turn comes at `next`.
  void limit(std::uint64_t next, std::uint64_t burst = 0, std::uint64_t horizon = 2 * kSecond) const {
    const nk_pace pace{.bytes_per_s = kRate, .burst_ns = burst, .horizon_ns = horizon, .next_ns = next};
    ASSERT_EQ(bpf_map_update_elem(map_, &kDevice, &pace, BPF_ANY), 0);
  }
  [[nodiscard]] std::uint64_t next() const {
    nk_pace pace{};
    EXPECT_EQ(bpf_map_lookup_elem(map_, &kDevice, &pace), 0);
    return pace.next_ns;
  }
  // What `frame` takes of the limit.
  [[nodiscard]] std::uint64_t cost(const Bytes& frame, std::uint32_t gso_size = 0) const {
    const auto start = now() + kSecond;
    limit(start);
    const auto outcome = node_.program.run(frame, gso_size);
    EXPECT_EQ(outcome.status, 0);
    EXPECT_NE(outcome.verdict, kDrop);
    if (next() != start) {
      EXPECT_EQ(outcome.departs, start);
    }
    return next() - start;
  }

  OnNode<from_pod> node_{with_bandwidth(config_of(true, GetParam(), true))};
  int map_ = node_.program.map("nk_pace_v1");
};

Bytes remote4(std::size_t payload = 0) { return frame(Ip4{.to = "10.0.9.7", .payload = tcp(payload)}); }
Bytes remote6(std::size_t payload = 0) { return frame(Ip6{.to = "fd00:0:0:9::7", .payload = tcp(payload)}); }

// With programs behind ours the stack forwards: what leaves the node is found out for each packet there.
class PaceForwarded : public Pace {};
INSTANTIATE_TEST_SUITE_P(Here, PaceForwarded, testing::Values(false));

TEST_P(PaceForwarded, AByteIsAByteOnTheWire) {
  EXPECT_EQ(cost(remote4()), (14 + 20 + 20) * kByte);
  EXPECT_EQ(cost(remote4(1000)), (14 + 20 + 20 + 1000) * kByte);
  EXPECT_EQ(cost(remote6(1000)), (14 + 40 + 20 + 1000) * kByte);
}

TEST_P(PaceForwarded, EachSegmentHasHeaders) {
  EXPECT_EQ(cost(remote4(3000), 1000), 3 * (14 + 20 + 20 + 1000) * kByte);
  EXPECT_EQ(cost(remote4(3001), 1000), (4 * (14 + 20 + 20) + 3001) * kByte);
  EXPECT_EQ(cost(remote6(3001), 1000), (4 * (14 + 40 + 20) + 3001) * kByte);
  const auto datagrams = frame(Ip4{.to = "10.0.9.7", .protocol = kUdp, .payload = udp() + Bytes(1000)});
  EXPECT_EQ(cost(datagrams, 500), (14 + 20 + 8 + 1000 + 14 + 20 + 8) * kByte);
}

TEST_P(PaceForwarded, ATunnelsHeadersCount) {
  EXPECT_EQ(cost(frame(Ip4{.to = "10.0.7.7", .payload = tcp(100)})), (14 + 20 + 20 + 100 + 50) * kByte);
  EXPECT_EQ(cost(frame(Ip6{.to = "fd00:0:0:7::7", .payload = tcp(100)})), (14 + 40 + 20 + 100 + 50) * kByte);
  EXPECT_EQ(cost(frame(Ip4{.to = "10.0.6.7", .payload = tcp(100)})), (14 + 20 + 20 + 100 + 70) * kByte);
  EXPECT_EQ(cost(frame(Ip4{.to = "10.0.7.7", .payload = tcp(3000)}), 1000), 3 * (14 + 20 + 20 + 1000 + 50) * kByte);
}

TEST_P(PaceForwarded, PacketsDepartOneAfterTheOther) {
  const auto start = now() + kSecond;
  limit(start);
  auto turn = start;
  for (std::size_t payload = 0; payload < 1000; payload += 100) {
    const auto packet = remote4(payload);
    EXPECT_EQ(node_.program.run(packet).departs, turn);
    turn += packet.size() * kByte;
  }
  EXPECT_EQ(next(), turn);
}

TEST_P(PaceForwarded, IdleTimeIsMadeUpForAsFarAsTheBurstGoes) {
  const auto packet = remote4(1000);
  limit(0, 10 * packet.size() * kByte);
  const auto before = now();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(node_.program.run(packet).departs, 0U) << "at once";
  EXPECT_GE(next(), before);
  EXPECT_LE(next(), now());

  limit(0);
  EXPECT_LE(node_.program.run(packet).departs, now());
  EXPECT_GE(next(), before + packet.size() * kByte) << "without a burst nothing is made up for";
}

TEST_P(PaceForwarded, ANodeMayBeUpForLessThanABurst) {
  const auto packet = remote4(1000);
  limit(0, now() + 1000 * kSecond);
  EXPECT_EQ(node_.program.run(packet).departs, 0U);
  EXPECT_EQ(next(), packet.size() * kByte);
}

TEST_P(PaceForwarded, WhatWouldWaitTooLongIsDropped) {
  const auto packet = remote4(1000);
  const auto too_late = now() + 10 * kSecond;
  limit(too_late);
  check_once(node_.program, {"too late", packet, kDrop, NK_DROP_BANDWIDTH});
  EXPECT_EQ(next(), too_late) << "and takes no turn";
  limit(too_late, 0, 20 * kSecond);
  EXPECT_EQ(node_.program.run(packet).departs, too_late);
}

TEST_P(Pace, WhatStaysOnTheNodeIsFree) {
  for (const auto* pod : {"10.0.0.2", "10.0.0.3", "10.0.0.4"}) EXPECT_EQ(cost(frame(Ip4{.to = pod})), 0U) << pod;
  for (const auto* pod : {"fd00::2", "fd00::3", "fd00::4"}) EXPECT_EQ(cost(frame(Ip6{.to = pod})), 0U) << pod;
  EXPECT_EQ(cost(frame(Ip4{.to = "224.0.0.251", .protocol = kUdp, .payload = udp()})), 0U) << "no router sends it on";
}

TEST_P(Pace, OthersAreNotLimited) {
  ASSERT_EQ(bpf_map_lookup_elem(map_, &kDevice, std::array<nk_pace, 1>{}.data()), -ENOENT);
  EXPECT_EQ(node_.program.run(remote4()).departs, 0U);
  EXPECT_EQ(node_.program.run(remote6()).departs, 0U);
}
INSTANTIATE_TEST_SUITE_P(HereAndByTheStack, Pace, testing::Bool());

}  // namespace
}  // namespace netkite::bpf_tests
