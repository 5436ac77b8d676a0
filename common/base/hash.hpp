// SPDX-License-Identifier: Apache-2.0
// A stable hash for names derived from other names; not for tables that an adversary can fill.
#pragma once

#include <cstdint>
#include <string_view>

namespace netkite {

// FNV-1a, folded to 48 bits: six bytes, or twelve hexadecimal digits.
[[nodiscard]] constexpr std::uint64_t hash48(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3U;
  }
  return (hash >> 48U) ^ (hash & 0xffffffffffffU);
}

}  // namespace netkite
