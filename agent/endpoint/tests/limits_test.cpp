// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoint/limits.hpp"

#include <gtest/gtest.h>

namespace netkite::endpoint {
namespace {

TEST(Limits, BurstsThatCanBeKept) {
  const auto egress_burst = [](std::uint64_t rate, std::uint64_t burst) {
    return effective({.egress_rate = rate, .egress_burst = burst}).egress_burst;
  };
  EXPECT_EQ(egress_burst(20000000, 2000000), 2000000U) << "as asked for";
  EXPECT_EQ(egress_burst(20000000, 1), 131072U) << "a packet of 16 KiB";
  EXPECT_EQ(egress_burst(20000000, 4294967295), 1048576U) << "what containerd says for want of one";
  EXPECT_EQ(egress_burst(20000000, 2147483647), 1048576U);
  EXPECT_EQ(egress_burst(1000000000, 4294967295), 10000000U) << "10 ms";
  EXPECT_EQ(egress_burst(wire::kMostRate, 4294967295), wire::kMostBurst);
  EXPECT_EQ(effective({}), wire::Bandwidth());
}

TEST(Limits, TheQueueHoldsTheBurstAnd25Milliseconds) {
  const auto queue = queue_of({.ingress_rate = 80000000, .ingress_burst = 800000});
  EXPECT_EQ(queue.rate, 10000000U);
  EXPECT_EQ(queue.burst, 100000U);
  EXPECT_EQ(queue.limit, 350000U);
  const auto widest = queue_of({.ingress_rate = wire::kMostRate, .ingress_burst = wire::kMostBurst});
  EXPECT_EQ(widest.rate, wire::kMostRate / 8);
  EXPECT_EQ(widest.burst, 4294967295U);
  EXPECT_EQ(widest.limit, 4294967295U);
}

}  // namespace
}  // namespace netkite::endpoint
