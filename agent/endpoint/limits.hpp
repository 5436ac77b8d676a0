// SPDX-License-Identifier: Apache-2.0
// What we make of the limits that a runtime asks for. Pure logic.
#pragma once

#include "common/netlink/qdisc.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::endpoint {

// With bursts that can be kept: at least a packet; and where the runtime gives the largest number that it knows, since
// a pod's annotations have none, 10 ms of the rate or two large segments.
[[nodiscard]] wire::Bandwidth effective(wire::Bandwidth asked);

// For what a pod gets.
[[nodiscard]] netlink::Tbf queue_of(const wire::Bandwidth& bandwidth);

}  // namespace netkite::endpoint
