// SPDX-License-Identifier: Apache-2.0
// Ports that the kernel hands out by itself, against those that the programs translate connections with.
#pragma once

#include <string>

#include "agent/config/options.hpp"

namespace netkite::node {

// A line for people while the two overlap: a connection of the node's own could then look like a translated one. Empty:
// they do not, or the kernel leaves the common ones alone (net.ipv4.ip_local_reserved_ports), or does not say.
[[nodiscard]] std::string port_conflict(const std::string& sysctl_dir, const config::Services& services);

}  // namespace netkite::node
