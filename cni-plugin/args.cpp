// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/args.hpp"

#include <array>
#include <cstdlib>
#include <optional>

#include "cni-plugin/names.hpp"
#include "cni-plugin/quote.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::cni {
namespace {

constexpr std::array<Command, 6> kCommands = {Command::add, Command::del,    Command::check,
                                              Command::gc,  Command::status, Command::version};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::optional<Command> parse_command(std::string_view text) {
  for (const Command command : kCommands) {
    if (text == to_string(command)) return command;
  }
  return std::nullopt;
}

tl::unexpected<CniError> bad_variable(std::string_view name, std::string_view value, std::string_view rule) {
  std::string message(name);
  if (value.empty()) return refuse(ErrorCode::environment, message.append(" is not set: ").append(rule));
  return refuse(ErrorCode::environment, message.append(" is ").append(quote(value)).append(": ").append(rule));
}

Outcome<void> check_attachment(const Environment& environment) {
  if (!is_name(environment.container_id)) return bad_variable("CNI_CONTAINERID", environment.container_id, kNameRule);
  if (!wire::is_valid_ifname(environment.ifname)) return bad_variable("CNI_IFNAME", environment.ifname, kIfnameRule);
  return {};
}

}  // namespace

std::string_view to_string(Command command) {
  switch (command) {
    case Command::add:
      return "ADD";
    case Command::del:
      return "DEL";
    case Command::check:
      return "CHECK";
    case Command::gc:
      return "GC";
    case Command::status:
      return "STATUS";
    case Command::version:
      return "VERSION";
  }
  return "";
}

Environment read_environment() {
  return {.command = variable("CNI_COMMAND"),
          .container_id = variable("CNI_CONTAINERID"),
          .netns = variable("CNI_NETNS"),
          .ifname = variable("CNI_IFNAME"),
          .args = variable("CNI_ARGS")};
}

Outcome<Args> parse_args(const Environment& environment) {
  const auto command = parse_command(environment.command);
  if (!command) {
    return bad_variable("CNI_COMMAND", environment.command, "it must be ADD, DEL, CHECK, GC, STATUS or VERSION");
  }
  Args args;
  args.command = *command;
  // The runtime leaves the others' variables empty or stale.
  if (*command != Command::add && *command != Command::del && *command != Command::check) return args;

  if (auto valid = check_attachment(environment); !valid) return tl::make_unexpected(valid.error());
  if (environment.netns.empty() && *command != Command::del) {
    return bad_variable("CNI_NETNS", "", "it must be the path of the container's network namespace");
  }
  args.container_id = environment.container_id;
  args.netns = environment.netns;
  args.ifname = environment.ifname;
  args.cni_args = environment.args;
  return args;
}

}  // namespace netkite::cni
