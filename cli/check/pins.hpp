// SPDX-License-Identifier: Apache-2.0
// What is pinned below a folder of bpffs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace netkite::cli {

struct Pins {
  std::size_t maps = 0, links = 0, programs = 0;
  std::set<std::uint32_t> program_ids;  // pinned, or behind a pinned link
  std::vector<std::string> unreadable;  // one line each
};

[[nodiscard]] Pins read_pins(const std::string& directory);

// The name of a loaded program, or "" where it is gone.
[[nodiscard]] std::string program_name(std::uint32_t id);

}  // namespace netkite::cli
