// SPDX-License-Identifier: Apache-2.0
// What both listeners do when the process has run out of descriptors. Room-internal.
#pragma once

#include <chrono>

namespace netkite::api {

inline constexpr auto kAcceptPause = std::chrono::milliseconds(100);

}  // namespace netkite::api
