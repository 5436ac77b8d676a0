// SPDX-License-Identifier: Apache-2.0
#include "agent/config/options.hpp"

#include "agent/config/fields.hpp"

namespace netkite::config {

std::string socket_path(const Options& options) {
  return options.socket.empty() ? options.run_dir + "/agent.sock" : options.socket;
}

std::string_view routing_name(Routing routing) { return name_of(routing); }

bool has_overlay(const Options& options) { return options.routing != Routing::native; }

}  // namespace netkite::config
