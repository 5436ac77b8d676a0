// SPDX-License-Identifier: Apache-2.0
// A Node object, as far as the network needs it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/kube/connection.hpp"
#include "agent/kube/reflector.hpp"
#include "common/base/ip.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

struct Node {
  std::string name;
  std::string created;           // metadata.creationTimestamp, see Service
  std::vector<Cidr> pod_ranges;  // spec.podCIDRs, or spec.podCIDR of a server that knows only that one
  std::vector<Ip> addresses;     // the first InternalIP of each family
  std::string zone;              // label topology.kubernetes.io/zone

  // Deleted, or the autoscaler is about to take the machine away: nobody new is to be sent there.
  bool leaving = false;

  bool operator==(const Node&) const = default;
};

// What others are told of a node: whether pods may come to it.
struct NodeMarks {
  std::vector<bool> taints;   // of spec.taints, in their order: is it ours?
  bool network_said = false;  // the condition NetworkUnavailable is False

  bool operator==(const NodeMarks&) const = default;
};

// The taint with which a cluster may register its nodes, and which an agent that is ready takes away.
inline constexpr std::string_view kNotReadyTaint = "netkite.io/agent-not-ready";

[[nodiscard]] Resource nodes();
// invalid: names the field. Prefixes and addresses are well-formed, no more.
[[nodiscard]] Result<Node> node_from(const Json& object);

[[nodiscard]] NodeMarks marks_from(const Json& object);
// The requests that take our taints away and say that the node's network is available. `now`: RFC 3339.
[[nodiscard]] std::vector<Request> requests_for(const std::string& name, const NodeMarks& marks,
                                                const std::string& now);

// For a copy on disk; node_from reads it.
[[nodiscard]] Json to_json(const Node& node);

}  // namespace netkite::kube
