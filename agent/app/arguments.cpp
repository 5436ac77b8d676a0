// SPDX-License-Identifier: Apache-2.0
#include "agent/app/arguments.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "agent/config/loader.hpp"

namespace netkite::app {
namespace {

constexpr std::array<std::pair<std::string_view, Action>, 6> kActions = {{
    {"--check-config", Action::check_config},
    {"--dump-config", Action::check_config},
    {"--cleanup", Action::cleanup},
    {"--withdraw", Action::withdraw},
    {"--version", Action::version},
    {"--help", Action::help},
}};

}  // namespace

Result<Arguments> parse_arguments(std::span<char* const> arguments) {
  Arguments parsed{.config_file = std::string(config::kDefaultFile)};
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view word = arguments[i];
    if (word == "--config") {
      if (++i == arguments.size()) return fail(Code::invalid, "--config needs a file name");
      parsed.config_file = arguments[i];
      continue;
    }
    const auto* const action =
        std::ranges::find(kActions, word, [](const auto& each) -> const std::string_view& { return each.first; });
    if (action == kActions.end()) return fail(Code::invalid, "unknown argument \"" + std::string(word) + "\"");
    if (parsed.action != Action::run && parsed.action != action->second) {
      return fail(Code::invalid, std::string(word) + " goes with no other action");
    }
    parsed.action = action->second;
  }
  return parsed;
}

}  // namespace netkite::app
