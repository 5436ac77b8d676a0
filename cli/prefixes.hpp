// SPDX-License-Identifier: Apache-2.0
// Prefixes as an operator gives them: arguments, and files with one a line.
#pragma once

#include <istream>
#include <string>
#include <vector>

#include "cli/arguments.hpp"
#include "common/base/ip.hpp"

namespace netkite::cli {

// '#' starts a comment, blank lines are skipped. The error names file, line and value.
[[nodiscard]] Result<std::vector<Cidr>> read_prefixes(std::istream& input, const std::string& name);

// Operands first, then the lines of --file; duplicates are dropped. Code::invalid when nothing is left.
[[nodiscard]] Result<std::vector<Cidr>> gather_prefixes(const Arguments& arguments);

}  // namespace netkite::cli
