// SPDX-License-Identifier: Apache-2.0
#include "agent/node/queues.hpp"

#include <gtest/gtest.h>

namespace netkite::node {
namespace {

using netlink::kQdiscHandle;
using netlink::kQdiscRoot;
using netlink::Qdisc;

constexpr std::uint32_t kDevice = 3, kTheirs = 0x80010000;

Qdisc root(const std::string& kind, std::uint32_t handle) {
  return {.ifindex = kDevice, .kind = kind, .handle = handle, .parent = kQdiscRoot};
}
Qdisc leaf(const std::string& kind, std::uint32_t root_handle, std::uint32_t queue) {
  return {.ifindex = kDevice, .kind = kind, .handle = 0, .parent = root_handle | queue};
}

TEST(Queues, OnlyTheKernelsDefaultIsReplaced) {
  const auto plan = [](std::vector<Qdisc> qdiscs) {
    qdiscs.push_back({.ifindex = kDevice + 1, .kind = "htb", .handle = kTheirs, .parent = kQdiscRoot});
    return plan_queues(qdiscs, kDevice);
  };
  EXPECT_EQ(plan({}), QueuePlan::fq) << "a device that is down";
  for (const auto* kind : {"noqueue", "pfifo_fast", "fq_codel", "fq"}) EXPECT_EQ(plan({root(kind, 0)}), QueuePlan::fq);
  EXPECT_EQ(plan({root("fq", kQdiscHandle)}), QueuePlan::none);
  EXPECT_EQ(plan({root("fq", kTheirs)}), QueuePlan::none);
  for (const auto* kind : {"htb", "pfifo_fast", "fq_codel"}) {
    EXPECT_EQ(plan({root(kind, kTheirs)}), QueuePlan::foreign);
  }
}

TEST(Queues, EachOfSeveralQueues) {
  const auto plan = [](std::uint32_t handle, const std::string& first, const std::string& second) {
    return plan_queues({root("mq", handle), leaf(first, handle, 1), leaf(second, handle, 2)}, kDevice);
  };
  EXPECT_EQ(plan(0, "pfifo_fast", "pfifo_fast"), QueuePlan::mq);
  EXPECT_EQ(plan(0, "fq", "fq"), QueuePlan::mq);
  EXPECT_EQ(plan(kQdiscHandle, "fq", "fq"), QueuePlan::none);
  EXPECT_EQ(plan(kQdiscHandle, "fq", "pfifo_fast"), QueuePlan::mq) << "left half-way";
  EXPECT_EQ(plan(kTheirs, "fq", "fq"), QueuePlan::none);
  EXPECT_EQ(plan(kTheirs, "fq", "fq_codel"), QueuePlan::foreign);
}

}  // namespace
}  // namespace netkite::node
