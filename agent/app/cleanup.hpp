// SPDX-License-Identifier: Apache-2.0
// What `netkite-agent --cleanup` does: everything of ours leaves the kernel except the pods' own devices, which are the
// runtime's to remove.
#pragma once

#include "agent/config/options.hpp"
#include "common/base/result.hpp"

namespace netkite::app {

// Takes the instance lock: unavailable while an agent runs.
[[nodiscard]] Result<void> clean_up(const config::Options& options);

}  // namespace netkite::app
