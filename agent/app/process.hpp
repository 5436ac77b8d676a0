// SPDX-License-Identifier: Apache-2.0
// The agent as a process among others: one for each run_dir, known to systemd, frugal.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::app {

// Creates `run_dir` (0700) and locks <run_dir>/agent.lock while the descriptor lives. unavailable: another one runs.
[[nodiscard]] Result<UniqueFd> lock_instance(const std::string& run_dir);

// sd_notify(3) without its library: `state` such as "READY=1" to $NOTIFY_SOCKET. Nothing happens outside systemd.
void notify_supervisor(std::string_view state);

// One heap, all descriptors that the limits allow, files for nobody else.
void prepare_process();

// Gives freed memory back to the kernel.
void trim_memory();

}  // namespace netkite::app
