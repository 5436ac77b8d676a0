// SPDX-License-Identifier: Apache-2.0
// Connections from before the programs masqueraded: the stack's become theirs.
#pragma once

#include <vector>

#include "agent/config/options.hpp"
#include "agent/datapath/datapath.hpp"
#include "agent/endpoint/endpoint.hpp"
#include "agent/node/node.hpp"
#include "common/base/result.hpp"
#include "common/netlink/conntrack.hpp"

namespace netkite::app {

// Of what the stack translates, what programs can go on with under the same address and port: open, of a pod that does
// not need the stack, and by an uplink's address. What has a port of the stack's own was left to it by the programs.
[[nodiscard]] std::vector<datapath::MaskedConnection> taken_over(const std::vector<netlink::Tracked>& tracked,
                                                                 const std::vector<endpoint::Endpoint>& pods,
                                                                 const std::vector<node::Uplink>& uplinks,
                                                                 const config::Ports& stack_ports);

// How many are the programs' now. Once the pods' programs masquerade: what begins from then on does so with an entry.
[[nodiscard]] Result<std::size_t> take_over(const config::Options& options, const std::vector<endpoint::Endpoint>& pods,
                                            const std::vector<node::Uplink>& uplinks, datapath::Datapath& datapath);

}  // namespace netkite::app
