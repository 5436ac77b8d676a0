// SPDX-License-Identifier: Apache-2.0
#include "agent/config/options.hpp"

#include "agent/config/fields.hpp"

namespace netkite::config {

std::string socket_path(const Options& options) {
  return options.socket.empty() ? options.run_dir + "/agent.sock" : options.socket;
}

std::string_view routing_name(Routing routing) { return name_of(routing); }

bool has_overlay(const Options& options) { return options.routing != Routing::native; }

bool masks_in_bpf(const Options& options) { return options.masquerade.mode == MasqueradeMode::bpf; }

bool translates(const Options& options) { return options.services.enabled || masks_in_bpf(options); }

namespace {

std::uint16_t count_for_stack(const Options& options) {
  const auto count = options.services.last_port - options.services.first_port + 1;
  return static_cast<std::uint16_t>(masks_in_bpf(options) ? count / 4 : 0);
}

}  // namespace

Ports program_ports(const Options& options) {
  return {.first = static_cast<std::uint16_t>(options.services.first_port),
          .last = static_cast<std::uint16_t>(options.services.last_port - count_for_stack(options))};
}

Ports stack_ports(const Options& options) {
  const auto last = static_cast<std::uint16_t>(options.services.last_port);
  return {.first = static_cast<std::uint16_t>(last - count_for_stack(options) + 1), .last = last};
}

}  // namespace netkite::config
