// SPDX-License-Identifier: Apache-2.0
// The node doctor: what this node's kernel, network and installation make of Netkite, by trying it where that is
// possible. Works with the agent up or down; changes nothing outside of throw-away network namespaces.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/arguments.hpp"
#include "cli/check/finding.hpp"
#include "common/netlink/link.hpp"

namespace netkite::cli {

// Kernel version and its known bugs, netkit, tcx, JIT.
[[nodiscard]] Findings check_kernel();

// bpffs, pins below `bpffs`, programs on `devices` that are not pinned there.
[[nodiscard]] Findings check_bpf(const std::string& bpffs, const std::vector<netlink::Link>& devices);

// Forwarding, router advertisements on the uplinks, masquerade. `default6`: there is an IPv6 default route.
[[nodiscard]] Findings check_network(const std::vector<std::string>& uplinks, bool default6);

// The agent's own words (its replies to "status" and "cni_status"), CNI configuration and plugin, the configuration
// file.
[[nodiscard]] Finding check_agent(const Result<nlohmann::json>& status, const Result<nlohmann::json>& readiness);
[[nodiscard]] Finding check_cni_config(const std::string& directory);
[[nodiscard]] Finding check_cni_plugin(const std::string& directory);
[[nodiscard]] Finding check_config_file(const std::string& path);

// All of it, in this order.
[[nodiscard]] Findings check_node(const Arguments& arguments);

}  // namespace netkite::cli
