// SPDX-License-Identifier: Apache-2.0
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "agent/app/agent.hpp"
#include "agent/app/arguments.hpp"
#include "agent/app/cleanup.hpp"
#include "agent/app/process.hpp"
#include "agent/app/withdrawal.hpp"
#include "agent/config/loader.hpp"

namespace netkite::app {
namespace {

constexpr int kFailed = 1, kUsageError = 2;

int complain(const Error& error, int status) {
  std::fprintf(stderr, "netkite-agent: %s\n", error.message.c_str());
  return status;
}

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

int run_with(const config::Options& options, const Arguments& arguments) {
  if (::geteuid() != 0) return complain({.code = Code::denied, .message = "must run as root"}, kFailed);
  spdlog::set_default_logger(spdlog::stderr_logger_st("netkite-agent"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  spdlog::set_level(spdlog::level::from_str(options.log_level));
  prepare_process();
  if (arguments.action == Action::cleanup) {
    const auto cleaned = clean_up(options);
    return cleaned ? 0 : complain(cleaned.error(), kFailed);
  }
  if (arguments.action == Action::withdraw) {
    withdraw(options);
    return 0;
  }
  const auto ran = Agent(options, arguments.config_file).run();
  return ran ? 0 : complain(ran.error(), kFailed);
}

int run(std::span<char* const> words) {
  const auto arguments = parse_arguments(words);
  if (!arguments) {
    const int status = complain(arguments.error(), kUsageError);
    std::fwrite(kUsage.data(), 1, kUsage.size(), stderr);
    return status;
  }
  if (arguments->action == Action::help) return print(kUsage), 0;
  if (arguments->action == Action::version) return print("netkite-agent " NETKITE_VERSION "\n"), 0;
  const auto options = config::load_file(arguments->config_file);
  if (!options) return complain(options.error(), kUsageError);
  if (arguments->action == Action::check_config) return print(config::dump(*options) + "\n"), 0;
  return run_with(*options, *arguments);
}

}  // namespace
}  // namespace netkite::app

int main(int count, char** words) {
  try {
    return netkite::app::run({words + 1, static_cast<std::size_t>(count > 0 ? count - 1 : 0)});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "netkite-agent: %s\n", error.what());
    return 1;
  }
}
