// SPDX-License-Identifier: Apache-2.0
// The command line of `netkite`: global options, one command, its options and operands, in any order.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::cli {

enum class Output : std::uint8_t { table, json };

struct Arguments {
  std::string command;                // "status", "prefilter add", …; empty with --help
  std::vector<std::string> operands;  // prefixes, or the shell of `completion`
  std::string socket{wire::kDefaultSocket};
  Output output = Output::table;
  bool help = false;
  std::string file;                               // prefilter add, del: prefixes from a file, "-" for standard input
  std::optional<std::uint64_t> count;             // monitor: end after so many events
  std::optional<std::chrono::seconds> timeout;    // monitor: end after so long
  std::uint64_t limit = 1000;                     // conntrack list, nat: lines at most
  std::string address, protocol;                  // conntrack flush: those that have it, empty: all
  std::optional<std::uint16_t> port;              // the same
  std::string config;                             // check: have the agent validate this file
  std::string bpffs = "/sys/fs/bpf/netkite";      // check
  std::string cni_config_dir = "/etc/cni/net.d";  // check
  std::string cni_plugin_dir = "/opt/cni/bin";    // check
};

// `arguments` as main has them, the program's name first. Every error is Code::invalid: wrong usage.
[[nodiscard]] Result<Arguments> parse_arguments(std::span<char* const> arguments);

// What --help prints.
[[nodiscard]] std::string usage();

}  // namespace netkite::cli
