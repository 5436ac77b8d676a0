// SPDX-License-Identifier: Apache-2.0
// A network namespace to try things in, gone with everything in it when the work is done.
#pragma once

#include <functional>

#include "common/base/result.hpp"

namespace netkite::cli {

// On a short-lived thread of its own. denied without the right to make a namespace.
[[nodiscard]] Result<void> in_scratch_netns(const std::function<Result<void>()>& work);

}  // namespace netkite::cli
