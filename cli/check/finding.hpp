// SPDX-License-Identifier: Apache-2.0
// One row of the node doctor.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace netkite::cli {

enum class Grade : std::uint8_t { ok, warn, fail };
[[nodiscard]] std::string_view to_string(Grade grade);

struct Finding {
  std::string item;  // stable name: docs/operations.md lists them
  Grade grade = Grade::ok;
  std::string detail;  // what was found, one line
  std::string fix;     // what to do about it; empty when ok
};
[[nodiscard]] Finding good(std::string item, std::string detail);
[[nodiscard]] Finding caution(std::string item, std::string detail, std::string fix);
[[nodiscard]] Finding failure(std::string item, std::string detail, std::string fix);
using Findings = std::vector<Finding>;

// The gravest of them; ok for none.
[[nodiscard]] Grade worst(const Findings& findings);

}  // namespace netkite::cli
