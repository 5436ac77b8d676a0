// SPDX-License-Identifier: Apache-2.0
// The clsact qdisc and direct-action BPF filters on it: what stands behind tcx programs (tc filters run after them).
#pragma once

#include "common/netlink/link.hpp"

namespace netkite::netlink {

// A clsact qdisc that is there already is success.
[[nodiscard]] Result<void> add_clsact(Socket& socket, std::uint32_t ifindex);

// Attaches the program behind `prog_fd` (borrowed; BPF_PROG_TYPE_SCHED_CLS) as the one filter of preference 1, handle
// 1, all protocols, direct action: a second call replaces the program without a gap. `name` is what `tc filter` shows.
// The device must have a clsact qdisc. Gone together with the device.
[[nodiscard]] Result<void> add_bpf_filter(Socket& socket, std::uint32_t ifindex, bool ingress, int prog_fd,
                                          const std::string& name);

}  // namespace netkite::netlink
