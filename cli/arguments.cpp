// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.hpp"

#include <getopt.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace netkite::cli {
namespace {

constexpr std::size_t kMany = 1U << 20U;

struct Command {
  std::string_view name;
  std::string_view operands;
  std::string_view options;         // letters of kOptions that it takes beside the global ones
  std::size_t least = 0, most = 0;  // operands
  std::string_view summary;
};

constexpr std::array kCommands = {
    Command{"status", "", "", 0, 0, "the agent, its pools, uplinks, programs and maps"},
    Command{"endpoints", "", "", 0, 0, "the pods' interfaces on this node"},
    Command{"services", "", "", 0, 0, "addresses of Services, and who stands behind them"},
    Command{"drops", "", "", 0, 0, "refused packets by reason"},
    Command{"monitor", "", "nt", 0, 0, "refused packets as they happen"},
    Command{"prefilter list", "", "", 0, 0, "the XDP deny-list with its counters"},
    Command{"prefilter add", "PREFIX...", "f", 0, kMany, "deny source prefixes on the uplinks"},
    Command{"prefilter del", "PREFIX...", "f", 0, kMany, "allow them again"},
    Command{"check", "", "cBCP", 0, 0, "node doctor: kernel, BPF, network, installation"},
    Command{"version", "", "", 0, 0, "the version of this command"},
    Command{"completion", "SHELL", "", 1, 1, "completion script for bash, zsh or fish"},
};

struct Option {
  const char* name;
  char letter;        // capitals beyond -h have no short form
  const char* value;  // null: takes none
  std::string_view summary;
};

constexpr std::array kOptions = {
    Option{"socket", 's', "PATH", "the agent's socket (default /run/netkite/agent.sock)"},
    Option{"output", 'o', "FORMAT", "table (default) or json"},
    Option{"help", 'h', nullptr, "this text"},
    Option{"file", 'f', "FILE", "prefilter: one prefix a line, # starts a comment, - is standard input"},
    Option{"count", 'n', "N", "monitor: end after N events"},
    Option{"timeout", 't', "SECONDS", "monitor: end after so many seconds"},
    Option{"config", 'c', "FILE", "check: validate the agent's configuration file too"},
    Option{"bpffs", 'B', "DIR", "check: where the agent pins (default /sys/fs/bpf/netkite)"},
    Option{"cni-config-dir", 'C', "DIR", "check: CNI configuration (default /etc/cni/net.d)"},
    Option{"cni-plugin-dir", 'P', "DIR", "check: CNI plugins (default /opt/cni/bin)"},
};
constexpr std::string_view kGlobal = "soh";

bool has(std::string_view letters, char letter) { return letters.find(letter) != std::string_view::npos; }
bool has_short_form(char letter) { return letter >= 'a'; }

template <typename Number>
Result<Number> number(const char* option, std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size() && value > 0) return value;
  return fail(Code::invalid, std::string("--") + option + " wants a positive number, not '" + std::string(text) + "'");
}

Result<void> set_option(Arguments& arguments, const Option& option, std::string_view value) {
  switch (option.letter) {
    case 's':
      arguments.socket = value;
      return {};
    case 'o':
      if (value != "json" && value != "table") {
        return fail(Code::invalid, "--output is table or json, not '" + std::string(value) + "'");
      }
      arguments.output = value == "json" ? Output::json : Output::table;
      return {};
    case 'h':
      arguments.help = true;
      return {};
    case 'f':
      arguments.file = value;
      return {};
    case 'n': {
      const auto count = number<std::uint64_t>(option.name, value);
      if (!count) return tl::make_unexpected(count.error());
      arguments.count = *count;
      return {};
    }
    case 't': {
      const auto seconds = number<std::uint32_t>(option.name, value);
      if (!seconds) return tl::make_unexpected(seconds.error());
      arguments.timeout = std::chrono::seconds(*seconds);
      return {};
    }
    case 'c':
      arguments.config = value;
      return {};
    case 'B':
      arguments.bpffs = value;
      return {};
    case 'C':
      arguments.cni_config_dir = value;
      return {};
    default:
      arguments.cni_plugin_dir = value;
      return {};
  }
}

// The command's words are taken off the operands.
Result<const Command*> take_command(Arguments& arguments) {
  auto& words = arguments.operands;
  if (words.empty()) return fail(Code::invalid, "no command; see netkite --help");
  std::string name = words.front();
  words.erase(words.begin());
  if (name == "prefilter") {
    if (words.empty()) return fail(Code::invalid, "prefilter: add, del or list?");
    name += " " + words.front();
    words.erase(words.begin());
  }
  const auto command = std::ranges::find(kCommands, name, &Command::name);
  if (command == kCommands.end()) return fail(Code::invalid, "unknown command '" + name + "'; see netkite --help");
  arguments.command = name;
  return &*command;
}

Result<void> check_operands(const Arguments& arguments, const Command& command, std::string_view given) {
  for (const char letter : given) {
    if (has(kGlobal, letter) || has(command.options, letter)) continue;
    const auto option = std::ranges::find(kOptions, letter, &Option::letter);
    return fail(Code::invalid, arguments.command + " takes no --" + option->name);
  }
  const auto count = arguments.operands.size();
  if (count > command.most) {
    return fail(Code::invalid, arguments.command + ": unexpected argument '" + arguments.operands[command.most] + "'");
  }
  const bool from_file = has(command.options, 'f') && !arguments.file.empty();
  if (count < command.least || (has(command.options, 'f') && count == 0 && !from_file)) {
    return fail(Code::invalid, arguments.command + " wants " + std::string(command.operands));
  }
  return {};
}

}  // namespace

Result<Arguments> parse_arguments(std::span<char* const> arguments) {
  std::string letters = ":";
  std::vector<option> table;
  for (const auto& each : kOptions) {
    table.push_back({each.name, each.value != nullptr ? required_argument : no_argument, nullptr, each.letter});
    if (has_short_form(each.letter)) letters += std::string(1, each.letter) + (each.value != nullptr ? ":" : "");
  }
  table.push_back({"version", no_argument, nullptr, 'V'});
  table.push_back({});

  Arguments parsed;
  std::string given;
  std::vector<char*> words(arguments.begin(), arguments.end());  // getopt_long sorts them: operands last
  words.push_back(nullptr);
  optind = 0;  // glibc: start anew
  opterr = 0;
  const int count = static_cast<int>(arguments.size());
  for (int letter = 0; (letter = getopt_long(count, words.data(), letters.c_str(), table.data(), nullptr)) != -1;) {
    const std::string word = optind > 0 ? words[static_cast<std::size_t>(optind) - 1] : "";
    if (letter == ':') return fail(Code::invalid, word + " wants a value");
    if (letter == '?') return fail(Code::invalid, "unknown option " + word + "; see netkite --help");
    if (letter == 'V') {
      parsed.command = "version";
      return parsed;
    }
    const auto option = std::ranges::find(kOptions, static_cast<char>(letter), &Option::letter);
    if (auto set = set_option(parsed, *option, optarg != nullptr ? optarg : ""); !set) {
      return tl::make_unexpected(set.error());
    }
    given += static_cast<char>(letter);
  }
  for (int i = optind; i < count; ++i) parsed.operands.emplace_back(words[static_cast<std::size_t>(i)]);
  if (parsed.help) return parsed;

  const auto command = take_command(parsed);
  if (!command) return tl::make_unexpected(command.error());
  if (auto fits = check_operands(parsed, **command, given); !fits) return tl::make_unexpected(fits.error());
  return parsed;
}

std::string usage() {
  const auto line = [](std::string left, std::string_view summary) {
    constexpr std::size_t kColumn = 32;
    left.resize(std::max(kColumn, left.size() + 2), ' ');
    return left + std::string(summary) + "\n";
  };
  std::string text = "usage: netkite [option...] command [argument...]\n\ncommands:\n";
  for (const auto& command : kCommands) {
    std::string left = "  ";
    left.append(command.name).append(command.operands.empty() ? "" : " ").append(command.operands);
    text += line(std::move(left), command.summary);
  }
  text += "\noptions:\n";
  for (const auto& option : kOptions) {
    std::string left = "      ";
    if (has_short_form(option.letter)) left = std::string("  -") + option.letter + ", ";
    left.append("--").append(option.name);
    if (option.value != nullptr) left.append(" ").append(option.value);
    text += line(std::move(left), option.summary);
  }
  return text + "\nexit status: 0 done, 1 failed, 2 wrong usage\n";
}

}  // namespace netkite::cli
