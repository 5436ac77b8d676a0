// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/hooks.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

#include "agent/datapath/compiler.hpp"

namespace netkite::datapath {
namespace {

// The name becomes part of a pin's: bpffs takes no '.', and ':' separates.
bool is_pin_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 &&
         std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; });
}

Result<UserHook> load_hook(const config::Hook& hook, const config::Datapath& options, const Pins& pins,
                           MapStore& maps) {
  if (!is_pin_name(hook.name)) {
    return fail(Code::invalid, "name: at most 64 letters, digits, '-' and '_', not \"" + hook.name + "\"");
  }
  Image image{.name = hook.name, .bytes = {}, .path = hook.object};
  if (!hook.source.empty()) {
    auto object = Compiler::find(options).and_then([&](const Compiler& found) { return found.compile(hook.source); });
    if (!object) return tl::make_unexpected(object.error());
    image.path = std::move(*object);
  }
  auto program = load_users(image, hook.program, pins.user_maps(hook.name), maps);
  if (!program) return tl::make_unexpected(program.error());
  return UserHook{.config = hook, .program = std::move(*program)};
}

}  // namespace

Result<Hooks> Hooks::load(const config::Options& options, const Pins& pins, MapStore& maps) {
  Hooks hooks;
  for (const auto& each : options.hooks) {
    auto hook = hooks.configured(each.name) ? Result<UserHook>(fail(Code::invalid, "another hook has this name"))
                                            : load_hook(each, options.datapath, pins, maps);
    if (!hook) return wrap(hook.error(), "hook " + each.name);
    hooks.hooks_.push_back(std::move(*hook));
  }
  return hooks;
}

std::vector<const UserHook*> Hooks::at(config::HookPoint point, config::HookOrder order) const {
  std::vector<const UserHook*> found;
  for (const auto& hook : hooks_) {
    if (hook.config.attach == point && hook.config.order == order) found.push_back(&hook);
  }
  return found;
}

bool Hooks::any(config::HookPoint point) const {
  return std::ranges::any_of(hooks_, [=](const UserHook& hook) { return hook.config.attach == point; });
}

bool Hooks::has(std::uint32_t program_id) const {
  return std::ranges::any_of(hooks_, [=](const UserHook& hook) { return hook.program.info.id == program_id; });
}

bool Hooks::configured(std::string_view name) const {
  return std::ranges::any_of(hooks_, [=](const UserHook& hook) { return hook.config.name == name; });
}

}  // namespace netkite::datapath
