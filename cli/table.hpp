// SPDX-License-Identifier: Apache-2.0
// Plain aligned columns for people.
#pragma once

#include <string>
#include <vector>

namespace netkite::cli {

class Table {
 public:
  explicit Table(std::vector<std::string> headers) : headers_(std::move(headers)) {}
  // Cells beyond the headers are dropped, missing ones are empty.
  void add(std::vector<std::string> cells);
  // Two spaces between columns, no trailing space; a column of numbers only is right-aligned.
  [[nodiscard]] std::string to_string() const;

 private:
  std::vector<std::string> headers_;
  std::vector<std::vector<std::string>> rows_;
};

// Control characters replaced: names that pods choose must not move a terminal's cursor.
[[nodiscard]] std::string printable(std::string text);

}  // namespace netkite::cli
