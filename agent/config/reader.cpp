// SPDX-License-Identifier: Apache-2.0
#include "agent/config/reader.hpp"

#include <algorithm>

namespace netkite::config {
namespace {

// Levenshtein, one row at a time.
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row;
  for (std::size_t j = 0; j <= b.size(); ++j) row.push_back(j);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t substitution = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substitution, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string_view>& known) {
  const auto best =
      std::ranges::min_element(known, {}, [word](std::string_view candidate) { return edits(word, candidate); });
  return best == known.end() ? std::string() : std::string(*best);
}

std::string Reader::join(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

void Reader::report_unknown_keys() {
  for (const auto& [key, value] : object_.items()) {
    if (std::ranges::find(known_, key) != known_.end()) continue;
    problem(join(key), "unknown key; the nearest known one is \"" + nearest(key, known_) + "\"");
  }
}

void Reader::read(const Json& json, const std::string& path, bool& value, Range /*range*/) {
  if (!json.is_boolean()) return problem(path, "expected true or false, got " + json.dump());
  value = json.get<bool>();
}

void Reader::read(const Json& json, const std::string& path, std::string& value, Range /*range*/) {
  if (!json.is_string()) return problem(path, "expected a string, got " + std::string(json.type_name()));
  value = json.get<std::string>();
  const bool control = std::ranges::any_of(value, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (control) return problem(path, "control characters are not allowed");
  if (value.size() > 4095) problem(path, "longer than 4095 bytes");
}

void Reader::read(const Json& json, const std::string& path, std::uint32_t& value, Range range) {
  const bool fits =
      json.is_number_unsigned() && json.get<std::uint64_t>() >= range.min && json.get<std::uint64_t>() <= range.max;
  if (!fits) {
    return problem(path, "expected a whole number from " + std::to_string(range.min) + " to " +
                             std::to_string(range.max) + ", got " + json.dump());
  }
  value = json.get<std::uint32_t>();
}

void Reader::read(const Json& json, const std::string& path, Ip& value, Range /*range*/) {
  if (!json.is_string()) return problem(path, "expected an address as a string, got " + json.dump());
  const auto parsed = Ip::parse(json.get_ref<const std::string&>());
  if (!parsed) return problem(path, parsed.error().message);
  value = *parsed;
}

void Reader::read(const Json& json, const std::string& path, Cidr& value, Range /*range*/) {
  if (!json.is_string()) return problem(path, "expected a prefix as a string, got " + json.dump());
  const auto parsed = Cidr::parse(json.get_ref<const std::string&>());
  if (!parsed) return problem(path, parsed.error().message);
  value = *parsed;
}

}  // namespace netkite::config
