// SPDX-License-Identifier: Apache-2.0
// Files as a whole.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/result.hpp"

namespace netkite {

// All of the file; Code::invalid when it is larger than `limit` bytes. Errors name the path.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t limit);

// Takes the place of what is there, by <path>.new: whoever reads finds the one or the other. Nothing is synced.
[[nodiscard]] Result<void> replace_file(const std::string& path, std::string_view text);

}  // namespace netkite
