// SPDX-License-Identifier: Apache-2.0
// Runs one CNI plugin as a process, with as little of our own cost around it as possible.
#pragma once

#include <string>
#include <vector>

namespace netkite::cni {

// The CNI_* variables of a call (CNI specification 1.1, section 2); empty ones are set to the empty string.
struct Environment {
  std::string command, container_id, netns, ifname, args, path;
};

struct Outcome {
  int status = -1;          // exit status, -1 when the plugin did not start or was killed
  std::string output;       // its stdout
  double milliseconds = 0;  // from before the start until it was reaped
  long max_rss_kib = 0;     // its peak resident memory; never below this process's own (the kernel counts from fork)
};

// `input` is the plugin's stdin. Its stderr is ours.
[[nodiscard]] Outcome run_plugin(const std::string& binary, const std::string& input, const Environment& environment);

}  // namespace netkite::cni
