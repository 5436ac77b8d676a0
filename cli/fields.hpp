// SPDX-License-Identifier: Apache-2.0
// Reading an agent's reply for people: whatever is missing or of another type becomes empty, never an exception.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

namespace netkite::cli {

// A scalar as text.
[[nodiscard]] std::string text(const nlohmann::json& object, const std::string& key);
[[nodiscard]] std::uint64_t whole_number(const nlohmann::json& object, const std::string& key);
// The items of a list.
[[nodiscard]] std::vector<nlohmann::json> items(const nlohmann::json& object, const std::string& key);
// The strings of a list in one.
[[nodiscard]] std::string joined(const nlohmann::json& object, const std::string& key);

[[nodiscard]] std::string readable_bytes(std::uint64_t bytes);      // "3.2 MiB"
[[nodiscard]] std::string readable_rate(std::uint64_t bits);        // per second: "20 Mbit/s"
[[nodiscard]] std::string readable_seconds(std::uint64_t seconds);  // "3d 4h", "2m 5s"

void print_json(std::ostream& out, const nlohmann::json& json);

}  // namespace netkite::cli
