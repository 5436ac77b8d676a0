// SPDX-License-Identifier: Apache-2.0
// Values of other people inside our messages.
#pragma once

#include <string>
#include <string_view>

namespace netkite::cni {

// In double quotes, control characters as '?', cut after 64 bytes: a message stays one readable line.
[[nodiscard]] std::string quote(std::string_view value);

}  // namespace netkite::cni
