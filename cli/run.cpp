// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/fields.hpp"
#include "cli/prefixes.hpp"
#include "cli/table.hpp"

namespace netkite::cli {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

int complain(std::ostream& err, const Error& error, int status) {
  err << "netkite: " << printable(error.message) << '\n';
  return status;
}

Result<void> ask_agent(const Arguments& arguments, const std::vector<Cidr>& prefixes, std::ostream& out) {
  auto agent = Agent::connect(arguments.socket);
  if (!agent) return tl::make_unexpected(agent.error());
  const auto& command = arguments.command;
  if (command == "status") return show_status(*agent, arguments.output, out);
  if (command == "endpoints") return show_endpoints(*agent, arguments.output, out);
  if (command == "services") return show_services(*agent, arguments.output, out);
  if (command == "drops") return show_drops(*agent, arguments.output, out);
  if (command == "monitor") return monitor_drops(*agent, arguments, out);
  if (command == "nat") return show_translations(*agent, arguments, out);
  if (command == "conntrack list") return list_connections(*agent, arguments, out);
  if (command == "conntrack flush") return flush_connections(*agent, arguments, out);
  if (command == "prefilter list") return list_denied(*agent, arguments.output, out);
  const std::string op = command == "prefilter add" ? "prefilter_add" : "prefilter_del";
  return change_denied(*agent, op, prefixes, arguments.output, out);
}

void show_version(Output output, std::ostream& out) {
  if (output == Output::json) return print_json(out, {{"version", NETKITE_VERSION}});
  out << "netkite " NETKITE_VERSION "\n";
}

int show_completion(const std::string& shell, std::ostream& out, std::ostream& err) {
  const auto script = completion_script(shell);
  if (script.empty()) {
    const Error error{
        .code = Code::invalid, .os_error = 0, .message = "completion: bash, zsh or fish, not '" + shell + "'"};
    return complain(err, error, kUsage);
  }
  out << script;
  return 0;
}

}  // namespace

int run(std::span<char* const> arguments, std::ostream& out, std::ostream& err) {
  const auto parsed = parse_arguments(arguments);
  if (!parsed) return complain(err, parsed.error(), kUsage);
  if (parsed->help) {
    out << usage();
    return 0;
  }
  if (parsed->command == "version") {
    show_version(parsed->output, out);
    return 0;
  }
  if (parsed->command == "completion") return show_completion(parsed->operands.front(), out, err);
  if (parsed->command == "check") return show_check(*parsed, out);

  std::vector<Cidr> prefixes;
  if (parsed->command == "prefilter add" || parsed->command == "prefilter del") {
    auto gathered = gather_prefixes(*parsed);
    if (!gathered) return complain(err, gathered.error(), gathered.error().code == Code::invalid ? kUsage : kFailed);
    prefixes = std::move(*gathered);
  }
  const auto answered = ask_agent(*parsed, prefixes, out);
  if (!answered) return complain(err, answered.error(), kFailed);
  return 0;
}

}  // namespace netkite::cli
