// SPDX-License-Identifier: Apache-2.0
// Times ADD and DEL of several networks side by side.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/tools/cni/runtime.hpp"

namespace netkite::cni {

struct BenchPlan {
  std::vector<Network> networks;
  std::string prefix;        // of namespaces and container ids
  std::string path;          // CNI_PATH
  std::size_t count = 1;     // attachments of each network, each in a namespace of its own
  std::size_t parallel = 1;  // calls at once; 1: the networks take turns, so that each sees the same machine
  std::string between;       // a shell command that runs between the ADDs and the DELs
};

// An object by network name: {"add_p50_ms", "add_p99_ms", "add_total_ms", "del_…", "max_rss_kib", "failures", "error"}.
[[nodiscard]] nlohmann::json bench(const BenchPlan& plan);

}  // namespace netkite::cni
