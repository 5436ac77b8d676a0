// SPDX-License-Identifier: Apache-2.0
// What the commands do. Each writes its answer to `out`: a table, or JSON with the agent's own field names.
#pragma once

#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "cli/agent.hpp"
#include "cli/arguments.hpp"
#include "common/base/ip.hpp"

namespace netkite::cli {

// The whole program: parse, run, report. Errors are one line on `err`. The exit status: 0 done, 1 failed, 2 wrong
// usage.
[[nodiscard]] int run(std::span<char* const> arguments, std::ostream& out, std::ostream& err);

[[nodiscard]] Result<void> show_status(Agent& agent, Output output, std::ostream& out);
[[nodiscard]] Result<void> show_endpoints(Agent& agent, Output output, std::ostream& out);
[[nodiscard]] Result<void> show_services(Agent& agent, Output output, std::ostream& out);
[[nodiscard]] Result<void> show_drops(Agent& agent, Output output, std::ostream& out);
[[nodiscard]] Result<void> list_denied(Agent& agent, Output output, std::ostream& out);

// `op` is "prefilter_add" or "prefilter_del". Long lists go in several messages; when one of them fails, the error says
// how many prefixes were done before it.
[[nodiscard]] Result<void> change_denied(Agent& agent, const std::string& op, const std::vector<Cidr>& prefixes,
                                         Output output, std::ostream& out);

// As many as --limit says.
[[nodiscard]] Result<void> show_translations(Agent& agent, const Arguments& arguments, std::ostream& out);
[[nodiscard]] Result<void> list_connections(Agent& agent, const Arguments& arguments, std::ostream& out);
// Those that have the address, port and protocol of the arguments.
[[nodiscard]] Result<void> flush_connections(Agent& agent, const Arguments& arguments, std::ostream& out);

// Until the count, the time limit, an interrupt, or the agent's end (an error).
[[nodiscard]] Result<void> monitor_drops(Agent& agent, const Arguments& arguments, std::ostream& out);

// The status is 1 when something is failing, 0 otherwise.
[[nodiscard]] int show_check(const Arguments& arguments, std::ostream& out);

// The script of "bash", "zsh" or "fish"; empty for any other shell.
[[nodiscard]] std::string_view completion_script(std::string_view shell);

}  // namespace netkite::cli
