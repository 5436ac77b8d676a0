// SPDX-License-Identifier: Apache-2.0
// Container IDs, network and interface names, with the rules as people read them.
#pragma once

#include <string_view>

#include "common/wire/agent_api.hpp"

namespace netkite::cni {

inline constexpr std::string_view kNameRule =
    "it must begin with a letter or digit, and have at most 255 letters, digits, '_', '.' and '-'";
inline constexpr std::string_view kIfnameRule =
    "it must have 1 to 15 characters, without '/', ':', '%' and white space, and not be '.' or '..'";

// The specification sets no longest name; the agent's messages do.
[[nodiscard]] inline bool is_name(std::string_view text) { return wire::is_valid_name(text) && text.size() <= 255; }

}  // namespace netkite::cni
