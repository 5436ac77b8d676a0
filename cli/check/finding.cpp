// SPDX-License-Identifier: Apache-2.0
#include "cli/check/finding.hpp"

#include <algorithm>
#include <utility>

namespace netkite::cli {

std::string_view to_string(Grade grade) {
  switch (grade) {
    case Grade::ok:
      return "ok";
    case Grade::warn:
      return "warn";
    case Grade::fail:
      return "fail";
  }
  return "fail";
}

Finding good(std::string item, std::string detail) {
  return {.item = std::move(item), .grade = Grade::ok, .detail = std::move(detail), .fix = ""};
}

Finding caution(std::string item, std::string detail, std::string fix) {
  return {.item = std::move(item), .grade = Grade::warn, .detail = std::move(detail), .fix = std::move(fix)};
}

Finding failure(std::string item, std::string detail, std::string fix) {
  return {.item = std::move(item), .grade = Grade::fail, .detail = std::move(detail), .fix = std::move(fix)};
}

Grade worst(const Findings& findings) {
  Grade gravest = Grade::ok;
  for (const auto& finding : findings) gravest = std::max(gravest, finding.grade);
  return gravest;
}

}  // namespace netkite::cli
