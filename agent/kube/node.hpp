// SPDX-License-Identifier: Apache-2.0
// A Node object, as far as the network needs it.
#pragma once

#include <string>
#include <vector>

#include "agent/kube/reflector.hpp"
#include "common/base/ip.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

struct Node {
  std::string name;
  std::vector<Cidr> pod_ranges;  // spec.podCIDRs, or spec.podCIDR of a server that knows only that one
  std::vector<Ip> addresses;     // the first InternalIP of each family

  bool operator==(const Node&) const = default;
};

[[nodiscard]] Resource nodes();
// invalid: names the field. Prefixes and addresses are well-formed, no more.
[[nodiscard]] Result<Node> node_from(const Json& object);

// For a copy on disk; node_from reads it.
[[nodiscard]] Json to_json(const Node& node);

}  // namespace netkite::kube
