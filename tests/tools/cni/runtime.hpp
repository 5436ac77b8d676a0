// SPDX-License-Identifier: Apache-2.0
// What a container runtime does with a network configuration (CNI specification 1.1, sections 1 and 3).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/tools/cni/plugin.hpp"

namespace netkite::cni {

struct Network {
  std::string name, version;
  std::vector<nlohmann::json> plugins;  // in the order of ADD
  std::vector<std::string> binaries;    // of the plugins, found in the search path

  // A single plugin's configuration or a list; `path` is a CNI_PATH. A file that is neither ends the process.
  [[nodiscard]] static Network load(const std::string& file, const std::string& path);
};

struct Call {
  Environment environment;                                 // command: "ADD", "DEL", …
  nlohmann::json previous_result;                          // of the ADD, for DEL and CHECK; null: none
  nlohmann::json capabilities = nlohmann::json::object();  // offered to the plugins that declare them
  nlohmann::json valid_attachments;                        // for GC; null: key absent
};

struct Result {
  bool ok = false;
  std::string output;       // of the last plugin that ran: the final result or the error
  double milliseconds = 0;  // the sum of its plugins' times
  long max_rss_kib = 0;     // the largest of its plugins'
};

// ADD and CHECK run the plugins in order, DEL in reverse; the first failure ends the call.
[[nodiscard]] Result run(const Network& network, const Call& call);

}  // namespace netkite::cni
