// SPDX-License-Identifier: Apache-2.0
// Standard input, whole, as JSON.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "cni-plugin/error.hpp"

namespace netkite::cni {

inline constexpr std::size_t kMaxInput = 1U << 20U;  // bytes
// Of a DEL: a pod's annotations are 256 KiB at most, and each byte may take six when it is escaped.
inline constexpr std::size_t kMaxDelInput = 2U << 20U;
inline constexpr unsigned kMaxDepth = 64;     // of nested arrays and objects: later recursion stays bounded
inline constexpr unsigned kMaxCommas = 8192;  // outside of strings: parsed, a value takes up to a hundred bytes

// Reads until the end; more than `limit` bytes are refused.
[[nodiscard]] Outcome<std::string> read_input(int fd, std::size_t limit = kMaxInput);

// A JSON object, or ErrorCode::decode with the place of the mistake.
[[nodiscard]] Outcome<nlohmann::json> decode_object(std::string_view text);

// The same with these keys of it alone: nothing else takes memory, and there may be any number of values.
[[nodiscard]] Outcome<nlohmann::json> decode_keys(std::string_view text, std::span<const std::string_view> keys);

}  // namespace netkite::cni
