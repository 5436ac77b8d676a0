// SPDX-License-Identifier: Apache-2.0
// The users' own programs: compiled where they come as source, loaded once, shared by all devices. Room-internal.
#pragma once

#include <string>
#include <vector>

#include "agent/config/options.hpp"
#include "agent/datapath/loader.hpp"

namespace netkite::datapath {

struct UserHook {
  config::Hook config;
  LoadedProgram program;
};

class Hooks {
 public:
  // All of them or an error that names the hook and has clang's, libbpf's or the verifier's words. Maps of the same
  // name and layout as ours are ours: so our programs are loaded first.
  [[nodiscard]] static Result<Hooks> load(const config::Options& options, const Pins& pins, MapStore& maps);

  // In the order of the configuration. Valid as long as this object.
  [[nodiscard]] std::vector<const UserHook*> at(config::HookPoint point, config::HookOrder order) const;
  [[nodiscard]] bool any(config::HookPoint point) const;
  [[nodiscard]] bool has(std::uint32_t program_id) const;
  [[nodiscard]] bool configured(std::string_view name) const;

 private:
  std::vector<UserHook> hooks_;
};

}  // namespace netkite::datapath
