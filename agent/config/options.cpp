// SPDX-License-Identifier: Apache-2.0
#include "agent/config/options.hpp"

namespace netkite::config {

std::string socket_path(const Options& options) {
  return options.socket.empty() ? options.run_dir + "/agent.sock" : options.socket;
}

}  // namespace netkite::config
