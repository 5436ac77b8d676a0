// SPDX-License-Identifier: Apache-2.0
// What a single key cannot tell: whether the values make sense together. Pure; room-internal.
#pragma once

#include <string>
#include <vector>

#include "agent/config/options.hpp"

namespace netkite::config {

// One line for each problem, empty when there is none.
[[nodiscard]] std::vector<std::string> check(const Options& options);

}  // namespace netkite::config
