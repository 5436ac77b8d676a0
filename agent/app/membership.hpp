// SPDX-License-Identifier: Apache-2.0
// What the cluster's Node objects mean for this node: its pools and its peers. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/config/options.hpp"
#include "agent/kube/node.hpp"
#include "common/base/result.hpp"

namespace netkite::app {

using Nodes = std::map<std::string, kube::Node>;  // by name

// The podCIDRs of the node of that name, in its order. unavailable: there is none yet, or none that can be used; the
// message is for people.
[[nodiscard]] Result<std::vector<Cidr>> pools_of(const Nodes& nodes, const std::string& name);

// All other nodes that have an address, which belongs to the newest object that has it. What overlaps our pools or what
// an earlier one has, or makes no sense, is left out with a line in `problems`.
[[nodiscard]] std::vector<config::Peer> peers_of(const Nodes& nodes, const std::string& name,
                                                 const std::vector<Cidr>& pools, std::vector<std::string>& problems);

}  // namespace netkite::app
