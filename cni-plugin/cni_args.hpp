// SPDX-License-Identifier: Apache-2.0
// CNI_ARGS: "KEY=VALUE;KEY=VALUE", in any order (CONVENTIONS.md of the CNI project).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cni-plugin/error.hpp"
#include "common/base/ip.hpp"

namespace netkite::cni {

struct CniArgs {
  std::string pod_namespace, pod_name, pod_uid;  // K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID
  std::vector<Ip> ips;                           // IP: one address or several with commas
  std::optional<Mac> mac;                        // MAC
};

// A key that is not known is an error unless IgnoreUnknown is 1 or true, before or behind it.
[[nodiscard]] Outcome<CniArgs> parse_cni_args(std::string_view text);

// "10.0.0.5" or "10.0.0.5/24": the prefix length is the runtime's idea of a subnet, a pod's address has none.
[[nodiscard]] Result<Ip> parse_wanted_ip(std::string_view text);

}  // namespace netkite::cni
