// SPDX-License-Identifier: Apache-2.0
// Standard input, whole, as JSON.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cni-plugin/error.hpp"

namespace netkite::cni {

inline constexpr std::size_t kMaxInput = 1U << 20U;  // bytes
inline constexpr unsigned kMaxDepth = 64;            // of nested arrays and objects: later recursion stays bounded
inline constexpr unsigned kMaxCommas = 8192;         // outside of strings: parsed, a value takes up to a hundred bytes

// Reads until the end; more than kMaxInput bytes are refused.
[[nodiscard]] Outcome<std::string> read_input(int fd);

// A JSON object, or ErrorCode::decode with the place of the mistake.
[[nodiscard]] Outcome<nlohmann::json> decode_object(std::string_view text);

}  // namespace netkite::cni
