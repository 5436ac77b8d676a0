// SPDX-License-Identifier: Apache-2.0
// What a Service means on this node: its frontends, and which endpoints each of them leads to; and the same of a port
// that a pod has of the node. Pure.
//
// Frontends serve the node's own sockets, pods' included. Those for the outside (NodePort, external IP, load balancer)
// have an entrance besides, for packets that come in on an uplink. The rules are kube-proxy's:
// - Frontends lead to every endpoint of the cluster even with externalTrafficPolicy Local, which keeps the client's
//   address and spares a hop for who comes from outside. A connection from a node or a pod has neither to lose, and
//   kube-proxy lets it go everywhere too. Entrances obey it.
// - loadBalancerSourceRanges bind entrances at the load balancer's addresses and no others: not NodePorts, not external
//   IPs. A family that has none is open to everybody. They do not bind the node's own sockets, pods' included, as
//   kube-proxy's do: whoever has an address of the cluster has the ClusterIP besides, which has no ranges.
// - NodePorts are at the node's addresses, not at loopback ones: what connects to 127.0.0.1 means the node itself.
// - Whom another node leads here has asked at one of those frontends, where its entrance goes to the whole cluster: he
//   gets a pod of this node, or as long as none is known any of the cluster.
// A pod's port of the node is at the same addresses as NodePorts, or at one address. Who asks there gets the pod, which
// sees who that is.
// What the programs cannot do has no entrance: SCTP.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
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
  std::vector<Ip> addresses;             // those that NodePorts are at
  std::string zone;                      // topology.kubernetes.io/zone; "": hints for zones are ignored
  bool external_ips = true;              // spec.externalIPs are served
  bool maglev = false;                   // sets with an entrance have a table
  bool overlay = false;                  // other nodes may lead clients here
  bool dsr = false;                      // and this one leads them there
  std::size_t max_frontends = SIZE_MAX;  // of all services; who does not fit gets none

  bool operator==(const Facts&) const = default;
};

enum class Kind : std::uint8_t { cluster_ip, node_port, host_port, external_ip, load_balancer };
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

struct Entrance {
  SetKey set;  // of scope local with externalTrafficPolicy Local, and for whom another node leads here
  bool ranges = false;

  bool operator==(const Entrance&) const = default;
};

struct PlannedFrontend {
  Frontend frontend;
  Kind kind = Kind::cluster_ip;
  SetKey set;
  std::optional<Entrance> entrance;

  bool operator==(const PlannedFrontend&) const = default;
};

struct Target {
  Ip address;
  std::uint16_t port = 0;
  State state = State::ready;

  auto operator<=>(const Target&) const = default;
};

// A port of the node that one of its pods has.
struct HostPort {
  std::string pod;  // "namespace/name", for people
  kube::Protocol protocol = kube::Protocol::tcp;
  std::uint16_t port = 0;      // of the node
  std::uint16_t pod_port = 0;  // where it leads
  std::optional<Ip> address;   // unspecified: each of the node's of its family; none: each
  std::vector<Ip> pod_addresses;
  std::uint64_t order = 0;  // of several pods that want one frontend the one with the largest has it

  bool operator==(const HostPort&) const = default;
};

using Slices = std::span<const kube::EndpointSlice* const>;

// Each frontend once, ClusterIPs first. A service has frontends in the families of its ClusterIPs alone.
[[nodiscard]] std::vector<PlannedFrontend> frontends_of(const kube::Service& service, const Facts& facts);

// None in a family that the pod has no address of.
[[nodiscard]] std::vector<PlannedFrontend> frontends_of(const HostPort& host_port, const Facts& facts);

// The pod, in the set's family.
[[nodiscard]] std::vector<Target> targets_of(const HostPort& host_port, const SetKey& set);

// The backends of a set: sorted, each address and port once. Those that are ready; without any, those that still serve
// while they end (KEP-1669); with publishNotReadyAddresses, all.
// Hints choose among the cluster's when every one of them has some and one is for us: those for nodes (KEP-3015)
// before those for zones (KEP-2433).
[[nodiscard]] std::vector<Target> targets_of(const kube::Service& service, Slices slices, const SetKey& set,
                                             const std::string& zone);

// What a set's entrances let in, in its family.
[[nodiscard]] std::vector<Cidr> ranges_of(const kube::Service& service, const SetKey& set);

// How many of this node's pods stand behind the service, as a load balancer's health check counts them: those that are
// ready, whatever their ports, in the family that has more.
[[nodiscard]] std::size_t local_endpoints(Slices slices);

}  // namespace netkite::service
