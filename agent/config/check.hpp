// SPDX-License-Identifier: Apache-2.0
// Whether values make sense, alone and together. Pure.
#pragma once

#include <string>
#include <vector>

#include "agent/config/options.hpp"
#include "common/base/result.hpp"

namespace netkite::config {

// A prefix that pods can have: unicast, and not one that means something else to every host.
[[nodiscard]] Result<void> check_pod_range(const Cidr& prefix);
// One that a node can be reached at from anywhere.
[[nodiscard]] bool is_node_address(const Ip& address);

// One line for each problem, empty when there is none.
[[nodiscard]] std::vector<std::string> check(const Options& options);

}  // namespace netkite::config
