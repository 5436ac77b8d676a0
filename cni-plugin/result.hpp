// SPDX-License-Identifier: Apache-2.0
// The result of ADD, in the form of each version of the specification (section 5 of 1.1; "Result" in the older ones).
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cni-plugin/spec_version.hpp"
#include "common/base/ip.hpp"

namespace netkite::cni {

// What ADD made.
struct PodNetwork {
  std::string host_ifname, pod_ifname;
  std::string netns;                     // CNI_NETNS, the `sandbox`
  std::optional<Mac> host_mac, pod_mac;  // absent in L3 mode, where they mean nothing
  std::uint32_t mtu = 0;                 // bytes
  std::vector<Ip> addresses;
  std::optional<Ip> gateway4, gateway6;     // L2 modes
  bool default4 = false, default6 = false;  // default routes that are ours
};

// Our interfaces, addresses and routes are appended to `base`, the converted prevResult (prev_result.hpp); versions
// before 0.3.0 have no chains and leave it out. `dns` wins over the one of `base` unless it is empty.
[[nodiscard]] nlohmann::json make_result(const PodNetwork& network, SpecVersion version, const nlohmann::json& base,
                                         const nlohmann::json& dns);

}  // namespace netkite::cni
