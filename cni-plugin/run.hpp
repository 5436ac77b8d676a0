// SPDX-License-Identifier: Apache-2.0
// From a runtime's call to the exit status: checks the input, runs one verb, writes what it has to say.
#pragma once

#include "cni-plugin/args.hpp"

namespace netkite::cni {

// Reads `input_fd` to its end and writes at most one JSON object to `output_fd`. Returns the exit status: 0 or 1.
[[nodiscard]] int run(const Environment& environment, int input_fd, int output_fd);

}  // namespace netkite::cni
