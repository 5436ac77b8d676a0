// SPDX-License-Identifier: Apache-2.0
// A Pod object, as far as the network needs it.
#pragma once

#include <map>
#include <set>
#include <string>

#include "agent/kube/reflector.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

struct Pod {
  std::string space, name;  // metadata.namespace and .name
  // As the runtime may call it: metadata.uid, and the hash of the kubelet's own file for a mirror of a static pod.
  std::set<std::string> uids;
  std::map<std::string, std::string> labels;

  bool operator==(const Pod&) const = default;
};

// Those that are bound to the node.
[[nodiscard]] Resource pods_on(const std::string& node);
// invalid: names the field.
[[nodiscard]] Result<Pod> pod_from(const Json& object);

}  // namespace netkite::kube
