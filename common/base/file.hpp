// SPDX-License-Identifier: Apache-2.0
// Reading whole files.
#pragma once

#include <cstddef>
#include <string>

#include "common/base/result.hpp"

namespace netkite {

// All of the file; Code::invalid when it is larger than `limit` bytes. Errors name the path.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t limit);

}  // namespace netkite
