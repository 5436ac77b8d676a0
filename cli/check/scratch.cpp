// SPDX-License-Identifier: Apache-2.0
#include "cli/check/scratch.hpp"

#include <sched.h>

#include <cerrno>
#include <thread>

namespace netkite::cli {

Result<void> in_scratch_netns(const std::function<Result<void>()>& work) {
  Result<void> outcome;
  std::thread thread(
      [&] { outcome = unshare(CLONE_NEWNET) == 0 ? work() : fail_errno(errno, "make a network namespace"); });
  thread.join();
  return outcome;
}

}  // namespace netkite::cli
