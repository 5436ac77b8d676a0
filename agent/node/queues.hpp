// SPDX-License-Identifier: Apache-2.0
// The queueing discipline fq on uplinks: it sends the packets of limited pods at the times that programs have given
// them. Ours are known by their number, so the kernel is all the memory that it takes to put back what was: the default
// discipline, for nothing else is ever replaced.
#pragma once

#include <string>
#include <vector>

#include "agent/node/node.hpp"
#include "common/netlink/qdisc.hpp"

namespace netkite::node {

enum class QueuePlan { none, fq, mq, foreign };  // nothing to do; fq at the root, or on each queue; somebody else's

// `qdiscs`: of all devices.
[[nodiscard]] QueuePlan plan_queues(const std::vector<netlink::Qdisc>& qdiscs, std::uint32_t ifindex);

// fq on these, and on no other device by us. One line for each uplink that does not delay.
[[nodiscard]] std::vector<std::string> apply_queues(const std::vector<Uplink>& uplinks);
// The kernel's default in place of ours, wherever it is.
[[nodiscard]] Result<void> remove_queues();

}  // namespace netkite::node
