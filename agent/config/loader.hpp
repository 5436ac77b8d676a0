// SPDX-License-Identifier: Apache-2.0
// The configuration file: JSON in, Options out, and back. Strict: an unknown key, a repeated key or a value that makes
// no sense is an error; nothing is guessed.
#pragma once

#include <string>
#include <string_view>

#include "agent/config/options.hpp"
#include "common/base/result.hpp"

namespace netkite::config {

inline constexpr std::string_view kDefaultFile = "/etc/netkite/agent.json";

// Reads and checks a file; `node_name` and `socket` come out filled. Errors are Code::invalid with one line for each
// thing that is wrong, each with the key's full path ("peers[0].pod_ranges[1]: ..."), or a failure to read the file.
[[nodiscard]] Result<Options> load_file(const std::string& path);
[[nodiscard]] Result<Options> parse(std::string_view text);

// All values, defaults included, as indented JSON that parse() accepts.
[[nodiscard]] std::string dump(const Options& options);

// Paths of the values that differ, in the file's spelling ("datapath.position"), for refusals at a reload.
[[nodiscard]] std::vector<std::string> differences(const Options& a, const Options& b);

}  // namespace netkite::config
