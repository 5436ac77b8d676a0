// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.hpp"

#include <getopt.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <utility>

#include "common/base/ip.hpp"

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
    Command{"services", "", "", 0, 0, "Services as this node's sockets see them"},
    Command{"drops", "", "", 0, 0, "refused packets by reason"},
    Command{"monitor", "", "nt", 0, 0, "refused packets as they happen"},
    Command{"prefilter list", "", "", 0, 0, "the XDP deny-list with its counters"},
    Command{"prefilter add", "PREFIX...", "f", 0, kMany, "deny source prefixes on the uplinks"},
    Command{"prefilter del", "PREFIX...", "f", 0, kMany, "allow them again"},
    Command{"nat", "", "l", 0, 0, "connections that this node translates"},
    Command{"conntrack list", "", "l", 0, 0, "the table behind them: both directions of each"},
    Command{"conntrack flush", "", "apT", 0, 0, "forget them: all, or those that have an address, a port"},
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
    Option{"limit", 'l', "N", "nat, conntrack list: so many lines at most (default 1000)"},
    Option{"address", 'a', "ADDRESS", "conntrack flush: of whom one end has this address"},
    Option{"port", 'p', "PORT", "conntrack flush: or this port"},
    Option{"protocol", 'T', "NAME", "conntrack flush: tcp, udp, icmp or icmpv6"},
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

// Where an option goes that takes any text; null: it is not one of these.
std::string* text_of(Arguments& arguments, char letter) {
  switch (letter) {
    case 's':
      return &arguments.socket;
    case 'f':
      return &arguments.file;
    case 'c':
      return &arguments.config;
    case 'B':
      return &arguments.bpffs;
    case 'C':
      return &arguments.cni_config_dir;
    case 'P':
      return &arguments.cni_plugin_dir;
    default:
      return nullptr;
  }
}

Result<void> set_address(Arguments& arguments, std::string_view value) {
  const auto address = Ip::parse(value);
  if (!address) return wrap(address.error(), "--address");
  arguments.address = address->to_string();
  return {};
}

// One of `words`.
Result<std::string> chosen(const char* option, std::initializer_list<std::string_view> words, std::string_view value) {
  std::string all;
  for (const auto word : words) {
    if (word == value) return std::string(value);
    all.append(all.empty() ? "" : word == *(words.end() - 1) ? " or " : ", ").append(word);
  }
  return fail(Code::invalid, std::string("--") + option + " is " + all + ", not '" + std::string(value) + "'");
}

// Into `place` unless there is an error.
template <typename From, typename To>
Result<void> put(const Result<From>& value, To& place) {
  if (!value) return tl::make_unexpected(value.error());
  place = To(*value);
  return {};
}

Result<void> set_option(Arguments& arguments, const Option& option, std::string_view value) {
  if (auto* const text = text_of(arguments, option.letter)) {
    *text = value;
    return {};
  }
  switch (option.letter) {
    case 'o': {
      const auto format = chosen(option.name, {"table", "json"}, value);
      return put(format.map([](const auto& word) { return word == "json" ? Output::json : Output::table; }),
                 arguments.output);
    }
    case 'n':
      return put(number<std::uint64_t>(option.name, value), arguments.count);
    case 't':
      return put(number<std::uint32_t>(option.name, value), arguments.timeout);
    case 'l':
      return put(number<std::uint64_t>(option.name, value), arguments.limit);
    case 'a':
      return set_address(arguments, value);
    case 'p':
      return put(number<std::uint16_t>(option.name, value), arguments.port);
    case 'T':
      return put(chosen(option.name, {"tcp", "udp", "icmp", "icmpv6"}, value), arguments.protocol);
    default:
      arguments.help = true;
      return {};
  }
}

// The command's words are taken off the operands.
Result<const Command*> take_command(Arguments& arguments) {
  auto& words = arguments.operands;
  if (words.empty()) return fail(Code::invalid, "no command; see netkite --help");
  std::string name = words.front();
  words.erase(words.begin());
  if (name == "prefilter" || name == "conntrack") {
    const std::string which = name == "prefilter" ? "add, del or list" : "list or flush";
    if (words.empty()) return fail(Code::invalid, name + ": " + which + "?");
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
