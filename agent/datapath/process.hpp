// SPDX-License-Identifier: Apache-2.0
// Runs a program, without a shell and with a bound on its time. Room-internal.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "common/base/result.hpp"

namespace netkite::datapath {

struct Finished {
  int status = 0;      // exit status; 128 + signal when one ended it
  std::string output;  // standard output and error together, at most 64 KiB
};

// `command[0]` is a path. Code::unavailable when the time is over: the process and its children are killed.
[[nodiscard]] Result<Finished> run_process(const std::vector<std::string>& command, std::chrono::milliseconds limit);

}  // namespace netkite::datapath
