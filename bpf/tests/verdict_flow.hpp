// SPDX-License-Identifier: Apache-2.0
// Which values a program can return, from its instructions alone: an abstract run over all paths, in which a register
// holds a set of known constants or "anything".
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

namespace netkite::bpf_tests {

// Never too small: nullopt when any path returns what is not a known constant.
[[nodiscard]] std::optional<std::set<std::int32_t>> return_values(const std::vector<bpf_insn>& program);

// The instructions as the kernel keeps them after verification: dead branches are gone. Throws std::runtime_error.
[[nodiscard]] std::vector<bpf_insn> translated_instructions(int program_fd);

}  // namespace netkite::bpf_tests
