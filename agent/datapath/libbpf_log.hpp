// SPDX-License-Identifier: Apache-2.0
// libbpf writes to standard error; we keep its last words instead, for the message of the call that failed.
// Room-internal.
#pragma once

#include <string>

#include "common/base/result.hpp"

namespace netkite::datapath {

// Routes libbpf's output of the whole process into memory, and forgets what was kept.
void capture_libbpf_log();
// What libbpf and the verifier said since, at most the last 4 KiB; empty when nothing.
[[nodiscard]] std::string libbpf_log();

// A failed libbpf call, with the captured words behind it.
[[nodiscard]] tl::unexpected<Error> fail_libbpf(int os_error, std::string_view what);

}  // namespace netkite::datapath
