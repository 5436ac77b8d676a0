// SPDX-License-Identifier: Apache-2.0
// An endpoint: everything the agent knows of one interface of one pod. A plain value; the ledger stores it as JSON.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/datapath/datapath.hpp"
#include "common/base/ip.hpp"
#include "common/netlink/netns.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::endpoint {

enum class State : std::uint8_t {
  preparing,  // addresses reserved, the plugin is building; not yet committed
  ready,      // programs attached, maps filled
  removing,   // DEL has begun
};

using Labels = std::map<std::string, std::string>;

struct Endpoint {
  wire::Attachment attachment;
  State state = State::preparing;
  std::uint32_t id = 0;  // never 0, unique on the node while the endpoint lives
  wire::DeviceMode device = wire::DeviceMode::netkit;
  std::string host_ifname;
  std::uint32_t host_ifindex = 0, pod_ifindex = 0;  // 0 before commit
  std::vector<Ip> addresses;
  Mac pod_mac, host_mac;  // L2 modes; zero otherwise
  netlink::NetnsId netns;
  std::string netns_path;
  std::string pod_namespace, pod_name, pod_uid;
  bool stack_path = false;                    // plugins behind ours work on its packets in the node's stack
  wire::Bandwidth bandwidth{};                // what we limit it to
  std::vector<wire::PortMapping> host_ports;  // that the programs serve
  std::uint64_t order = 0;                    // among all ADDs on the node, by when they were done
  Labels labels;  // as the cluster has them now, filled in for lists; the ledger does not keep them
};

[[nodiscard]] std::string_view to_string(State state);
[[nodiscard]] nlohmann::json to_json(const Endpoint& endpoint);
[[nodiscard]] Result<Endpoint> from_json(const nlohmann::json& json);
[[nodiscard]] datapath::EndpointDevice device_of(const Endpoint& endpoint);

}  // namespace netkite::endpoint
