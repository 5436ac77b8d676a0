// SPDX-License-Identifier: Apache-2.0
// Network namespaces for tests.
#pragma once

#include <fcntl.h>
#include <sched.h>

#include <thread>

#include "common/base/unique_fd.hpp"

namespace netkite::endpoint::testing {

// A new one, empty; invalid without the right to make it.
inline UniqueFd new_netns() {
  UniqueFd netns;
  std::thread maker([&netns] {
    if (::unshare(CLONE_NEWNET) == 0) netns.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  });
  maker.join();
  return netns;
}

}  // namespace netkite::endpoint::testing
