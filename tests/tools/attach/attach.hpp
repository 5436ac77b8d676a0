// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace netkite::tools {

void bench();                            // prints the figures
[[nodiscard]] bool stress(int seconds);  // whether all held; prints what was done
[[nodiscard]] bool faults();             // the same; only on a kernel that injects faults

}  // namespace netkite::tools
