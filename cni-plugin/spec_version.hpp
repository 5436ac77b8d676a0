// SPDX-License-Identifier: Apache-2.0
// The versions of the CNI specification that the plugin speaks.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace netkite::cni {

// In order of age, so that `version >= SpecVersion::v0_4_0` asks for a feature.
enum class SpecVersion : std::uint8_t { v0_1_0, v0_2_0, v0_3_0, v0_3_1, v0_4_0, v1_0_0, v1_1_0 };

inline constexpr std::array<std::string_view, 7> kSpecVersions = {"0.1.0", "0.2.0", "0.3.0", "0.3.1",
                                                                  "0.4.0", "1.0.0", "1.1.0"};
inline constexpr SpecVersion kNewestVersion = SpecVersion::v1_1_0;
// What a network configuration without cniVersion means.
inline constexpr SpecVersion kDefaultVersion = SpecVersion::v0_1_0;

[[nodiscard]] std::string_view to_string(SpecVersion version);
[[nodiscard]] std::optional<SpecVersion> parse_version(std::string_view text);  // an exact match
[[nodiscard]] std::string list_versions();                                      // "0.1.0, 0.2.0, …"

}  // namespace netkite::cni
