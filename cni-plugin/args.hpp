// SPDX-License-Identifier: Apache-2.0
// The CNI_* environment variables (CNI specification 1.1, section 2).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cni-plugin/error.hpp"

namespace netkite::cni {

// The variables as found; absent ones are empty.
struct Environment {
  std::string command, container_id, netns, ifname, args;
};
[[nodiscard]] Environment read_environment();

enum class Command : std::uint8_t { add, del, check, gc, status, version };
[[nodiscard]] std::string_view to_string(Command command);  // "ADD", "DEL", …

struct Args {
  Command command = Command::version;
  std::string container_id;
  std::string netns;     // a path; may be empty for DEL
  std::string ifname;    // the pod's interface
  std::string cni_args;  // CNI_ARGS, not yet parsed: only ADD reads it
};

// Checks what the verb needs; variables that it does not need are left out, whatever they hold.
[[nodiscard]] Outcome<Args> parse_args(const Environment& environment);

}  // namespace netkite::cni
