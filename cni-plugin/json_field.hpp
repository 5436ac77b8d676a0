// SPDX-License-Identifier: Apache-2.0
// Fields of JSON objects, with errors that name them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cni-plugin/error.hpp"

namespace netkite::cni {

// The value under `key`; nullptr when it is absent or null, which Go runtimes write for "absent". `object` must be one.
[[nodiscard]] const nlohmann::json* find(const nlohmann::json& object, std::string_view key);

// Of the capabilities' own objects, with the key in any case, as the runtimes' language reads it: containerd writes
// "HostPort".
[[nodiscard]] const nlohmann::json* find_any_case(const nlohmann::json& object, std::string_view key);
[[nodiscard]] char lower(char c);  // ASCII

// ErrorCode::config: `field` is <value>: `rule`.
[[nodiscard]] tl::unexpected<CniError> bad_field(std::string_view field, const nlohmann::json& value,
                                                 std::string_view rule);

// An array of strings.
[[nodiscard]] Outcome<std::vector<std::string>> string_list(const nlohmann::json& value, const std::string& field);

// A value as it stood in the input, shortened.
[[nodiscard]] std::string show(const nlohmann::json& value);

}  // namespace netkite::cni
