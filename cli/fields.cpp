// SPDX-License-Identifier: Apache-2.0
#include "cli/fields.hpp"

#include <array>
#include <cstdio>
#include <span>

namespace netkite::cli {
namespace {

std::string scalar(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.is_primitive() && !value.is_null() ? value.dump() : "";
}

// In the largest unit that is not larger than the number.
std::string readable(std::uint64_t number, double step, std::span<const char* const> units) {
  std::size_t unit = 0;
  auto value = static_cast<double>(number);
  for (; value >= step && unit + 1 < units.size(); ++unit) value /= step;
  std::array<char, 32> buffer{};
  std::snprintf(buffer.data(), buffer.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return buffer.data();
}

}  // namespace

std::string text(const nlohmann::json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() ? "" : scalar(*found);
}

std::uint64_t whole_number(const nlohmann::json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() || !found->is_number_unsigned() ? 0 : found->get<std::uint64_t>();
}

std::vector<nlohmann::json> items(const nlohmann::json& object, const std::string& key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return {};
  return found->get_ref<const nlohmann::json::array_t&>();
}

std::string joined(const nlohmann::json& object, const std::string& key) {
  std::string all;
  for (const auto& item : items(object, key)) all += (all.empty() ? "" : ", ") + scalar(item);
  return all;
}

std::string readable_bytes(std::uint64_t bytes) {
  constexpr std::array kUnits = {"bytes", "KiB", "MiB", "GiB"};
  return readable(bytes, 1024, kUnits);
}

std::string readable_rate(std::uint64_t bits) {
  constexpr std::array kUnits = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};
  return readable(bits, 1000, kUnits);
}

std::string readable_seconds(std::uint64_t seconds) {
  struct Unit {
    std::uint64_t seconds;
    const char* letter;
  };
  constexpr std::array kUnits = {Unit{86400, "d"}, Unit{3600, "h"}, Unit{60, "m"}, Unit{1, "s"}};
  std::size_t unit = 0;
  while (unit + 1 < kUnits.size() && seconds < kUnits[unit].seconds) ++unit;
  std::string words = std::to_string(seconds / kUnits[unit].seconds) + kUnits[unit].letter;
  if (unit + 1 < kUnits.size()) {
    const auto rest = seconds % kUnits[unit].seconds / kUnits[unit + 1].seconds;
    words += " " + std::to_string(rest) + kUnits[unit + 1].letter;
  }
  return words;
}

void print_json(std::ostream& out, const nlohmann::json& json) {
  out << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

}  // namespace netkite::cli
