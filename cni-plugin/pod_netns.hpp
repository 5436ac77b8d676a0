// SPDX-License-Identifier: Apache-2.0
// The namespace behind CNI_NETNS.
#pragma once

#include <string>

#include "cni-plugin/error.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::cni {

// ErrorCode::environment unless it is a network namespace other than our own (the host's).
[[nodiscard]] Outcome<UniqueFd> open_pod_netns(const std::string& path);

}  // namespace netkite::cni
