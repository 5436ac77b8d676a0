// SPDX-License-Identifier: Apache-2.0
// What a runtime wishes for one container: `runtimeConfig` (capabilities) and `args` of the network configuration, as
// CONVENTIONS.md of the CNI project has them. portMappings and bandwidth are left to the plugins chained behind us,
// which need the pod's packets in the node's stack, unless the agent serves the ports or keeps the limits itself;
// aliases have no meaning in a network without names and are ignored. io.kubernetes.cri.pod-annotations is containerd's
// and CRI-O's name for the capability that hands a pod's annotations on.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cni-plugin/error.hpp"
#include "common/base/ip.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::cni {

struct Wishes {
  std::vector<Ip> ips;
  std::optional<Mac> mac;
  std::vector<wire::PortMapping> port_mappings;
  std::optional<wire::DeviceMode> device;  // annotation netkite.io/device
  std::string ips_field, mac_field;        // where they came from, for messages
};

// runtimeConfig.ips, else args.cni.ips; runtimeConfig.mac; the pod's annotation for its device.
[[nodiscard]] Outcome<Wishes> read_wishes(const nlohmann::json& conf);

// runtimeConfig.bandwidth, empty without one. Only an ADD has to make sense of it: whatever was added must go.
[[nodiscard]] Outcome<std::optional<wire::Bandwidth>> read_limits(const nlohmann::json& conf);

// `dns` of the configuration, overridden key by key by runtimeConfig.dns, in the form of a result's `dns`.
[[nodiscard]] Outcome<nlohmann::json> read_dns(const nlohmann::json& conf);

}  // namespace netkite::cni
