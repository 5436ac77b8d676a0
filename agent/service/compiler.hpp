// SPDX-License-Identifier: Apache-2.0
// What a Service means on this node: its frontends, and which endpoints each of them leads to. Pure.
//
// The rules are kube-proxy's, seen from a node's own sockets, pods' included, because those are all that the frontends
// serve:
// - Frontends for the outside (NodePort, external IP, load balancer) lead to every endpoint of the cluster even with
//   externalTrafficPolicy Local, which keeps the client's address and spares a hop for who comes from outside. A
//   connection from a node or a pod has neither to lose, and kube-proxy lets it go everywhere too.
// - loadBalancerSourceRanges do not bind these sockets: they stand for clients in front of the load balancer.
// - NodePorts are at the node's addresses, not at loopback ones: what connects to 127.0.0.1 means the node itself.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/kube/endpoint_slice.hpp"
#include "agent/kube/service.hpp"
#include "agent/service/table.hpp"
#include "common/base/ip.hpp"

namespace netkite::service {

// Of our node.
struct Facts {
  std::vector<Ip> addresses;  // those that NodePorts are at
  std::string zone;           // topology.kubernetes.io/zone; "": hints are ignored
  bool external_ips = true;   // spec.externalIPs are served

  bool operator==(const Facts&) const = default;
};

enum class Kind : std::uint8_t { cluster_ip, node_port, external_ip, load_balancer };
enum class Scope : std::uint8_t { cluster, local };
enum class State : std::uint8_t { ready, not_ready, terminating };

[[nodiscard]] std::string_view to_string(Kind kind);    // "ClusterIP"
[[nodiscard]] std::string_view to_string(State state);  // "ready", "not ready", "terminating"

// A set among those of its service. It keeps its identity when endpoints change or the port is renamed.
struct SetKey {
  std::uint16_t port = 0;  // the service's
  kube::Protocol protocol = kube::Protocol::tcp;
  Family family = Family::v4;
  Scope scope = Scope::cluster;

  auto operator<=>(const SetKey&) const = default;
};

struct PlannedFrontend {
  Frontend frontend;
  Kind kind = Kind::cluster_ip;
  SetKey set;

  bool operator==(const PlannedFrontend&) const = default;
};

struct Target {
  Ip address;
  std::uint16_t port = 0;
  State state = State::ready;

  auto operator<=>(const Target&) const = default;
};

// Each frontend once, ClusterIPs first. A service has frontends in the families of its ClusterIPs alone.
[[nodiscard]] std::vector<PlannedFrontend> frontends_of(const kube::Service& service, const Facts& facts);

// The backends of a set: sorted, each address and port once. Those that are ready; without any, those that still serve
// while they end (KEP-1669); with publishNotReadyAddresses, all.
// Hints for zones choose among the cluster's when every one of them has some and one is for ours (KEP-2433).
[[nodiscard]] std::vector<Target> targets_of(const kube::Service& service,
                                             std::span<const kube::EndpointSlice* const> slices, const SetKey& set,
                                             const std::string& zone);

}  // namespace netkite::service
