// SPDX-License-Identifier: Apache-2.0
// The command line of netkite-agent.
#pragma once

#include <span>
#include <string>

#include "common/base/result.hpp"

namespace netkite::app {

enum class Action : std::uint8_t { run, check_config, cleanup, withdraw, version, help };

struct Arguments {
  Action action = Action::run;
  std::string config_file;
};

inline constexpr std::string_view kUsage =
    "Usage: netkite-agent [--config FILE] [--check-config | --dump-config | --cleanup | --withdraw |\n"
    "                     --version | --help]\n"
    "Runs in the foreground and logs to standard error.\n"
    "  --config FILE    the configuration; default: /etc/netkite/agent.json\n"
    "  --check-config   check the configuration, print all of its values, defaults included, and exit\n"
    "  --dump-config    the same\n"
    "  --cleanup        for uninstalling, with the agent stopped: take away programs, maps, routes, the overlay's\n"
    "                   device, uplinks' fq and the nftables table; pods that still run lose their network\n"
    "  --withdraw       for uninstalling from a cluster: wait until every node has cleaned up, then delete what\n"
    "                   install.yaml made\n"
    "Signals: SIGHUP reads peers, masquerade (not its mode), prefilter.deny and log_level from the file again;\n"
    "SIGTERM and SIGINT end the agent, the pods' traffic goes on.\n";

// `arguments` without the program's own name. invalid: what is wrong with them.
[[nodiscard]] Result<Arguments> parse_arguments(std::span<char* const> arguments);

}  // namespace netkite::app
