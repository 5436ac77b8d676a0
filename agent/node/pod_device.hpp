// SPDX-License-Identifier: Apache-2.0
// Which devices are ours: all of them have one prefix.
#pragma once

#include <string_view>

namespace netkite::node {

inline constexpr std::string_view kOverlayDevice = "nk-overlay";

[[nodiscard]] inline bool is_our_device(std::string_view name) { return name.starts_with("nk"); }
// Pods' host ends, as wire::host_ifname names them.
[[nodiscard]] inline bool is_pod_device(std::string_view name) { return is_our_device(name) && name != kOverlayDevice; }

}  // namespace netkite::node
