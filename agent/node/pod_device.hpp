// SPDX-License-Identifier: Apache-2.0
// Which devices are pods' host ends: wire::host_ifname gives all of them one prefix.
#pragma once

#include <string_view>

namespace netkite::node {

[[nodiscard]] inline bool is_pod_device(std::string_view name) { return name.starts_with("nk"); }

}  // namespace netkite::node
