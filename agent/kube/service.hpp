// SPDX-License-Identifier: Apache-2.0
// A Service object, as far as the network needs it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/ip.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

// Named only, so that those who deal with the values need no client: agent/kube/reflector.hpp, agent/kube/picker.hpp.
struct Resource;
using Json = nlohmann::json;

enum class Protocol : std::uint8_t { tcp = 6, udp = 17, sctp = 132 };  // IANA's numbers

[[nodiscard]] constexpr std::string_view to_string(Protocol protocol) {
  return protocol == Protocol::tcp ? "TCP" : protocol == Protocol::udp ? "UDP" : "SCTP";
}

struct ServicePort {
  std::string name;  // "" where there is only one
  Protocol protocol = Protocol::tcp;
  std::uint16_t port = 0;
  std::uint16_t node_port = 0;  // 0: none

  bool operator==(const ServicePort&) const = default;
};

struct Service {
  std::string space, name;  // metadata.namespace and .name
  std::string created;      // metadata.creationTimestamp: RFC 3339 in UTC, so it compares by text; "" in a manifest
  std::vector<Ip> cluster_ips;
  std::vector<Ip> external_ips;
  // status.loadBalancer. Left out: host names, addresses whose ipMode is Proxy (packets have to go to the balancer),
  // and what no service may have as its address.
  std::vector<Ip> load_balancer_ips;
  std::vector<Cidr> source_ranges;  // spec.loadBalancerSourceRanges; empty: everybody
  bool external_local = false;      // externalTrafficPolicy: Local
  bool internal_local = false;      // internalTrafficPolicy: Local
  bool publish_not_ready = false;
  std::uint32_t affinity_s = 0;         // sessionAffinity: ClientIP, seconds; 0: none
  std::uint16_t health_check_port = 0;  // spec.healthCheckNodePort, 0: none
  std::vector<ServicePort> ports;       // no two with one protocol and number

  bool operator==(const Service&) const = default;
};

// Those that a service proxy is meant to serve.
[[nodiscard]] Resource services();
// Nothing for one that is not to be served: ExternalName, headless, without an address yet, or one whose labels say
// that another proxy does it (folders know no selectors). invalid: names the field.
[[nodiscard]] Result<std::optional<Service>> service_from(const Json& object);

}  // namespace netkite::kube
