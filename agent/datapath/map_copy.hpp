// SPDX-License-Identifier: Apache-2.0
// Copies a map's entries into another of the same layout and another size. Room-internal.
#pragma once

#include "common/base/result.hpp"

namespace netkite::datapath {

// Code::exhausted when the entries do not fit. Ring buffers have no entries to copy.
[[nodiscard]] Result<void> copy_entries(int from_fd, int to_fd);

}  // namespace netkite::datapath
