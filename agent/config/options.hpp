// SPDX-License-Identifier: Apache-2.0
// The agent's configuration. Member initialisers are the defaults; the loader fills it from JSON and refuses unknown
// keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/ip.hpp"

namespace netkite::config {

enum class Device : std::uint8_t { automatic, netkit, netkit_l2, veth };  // "auto", "netkit", "netkit-l2", "veth"
enum class Compile : std::uint8_t { automatic, embedded, clang };         // "auto", "embedded", "clang"
enum class Position : std::uint8_t { first, last };                       // among other tcx and netkit programs
enum class XdpMode : std::uint8_t { automatic, native, generic, off };    // "auto", "native", "generic", "off"
enum class ServicesXdp : std::uint8_t { automatic, off };                 // "auto", "off"
enum class Routing : std::uint8_t { native, overlay, automatic };         // "native", "overlay", "auto"
enum class MasqueradeMode : std::uint8_t { nftables, bpf };               // "nftables", "bpf"
enum class HookPoint : std::uint8_t { pod_egress, pod_ingress, uplink_ingress, uplink_egress };  // "pod-egress", …
enum class HookOrder : std::uint8_t { before, after };  // relative to our program

struct Peer {
  std::string name;
  std::vector<Ip> addresses;  // of the node, at most one per family
  std::vector<Cidr> pod_ranges;

  bool operator==(const Peer&) const = default;
};

struct Masquerade {
  bool enabled = true;
  // bpf: past the host's packet filter and connection tracking, so it is never chosen for anybody.
  MasqueradeMode mode = MasqueradeMode::nftables;
  std::vector<Cidr> except;  // besides our pools, the peers' pod ranges and the peers' addresses
};

// VXLAN (RFC 7348) to the nodes that `routing` does not reach natively.
struct Overlay {
  std::uint32_t port = 8472;  // UDP, the same on every node
  std::uint32_t vni = 1;      // the network's number, the same on every node
};

struct Hook {
  std::string name;
  std::string source;   // a .bpf.c file, compiled with clang; or
  std::string object;   // a compiled object
  std::string program;  // the function's name; empty: the object's only program
  HookPoint attach = HookPoint::pod_egress;
  HookOrder order = HookOrder::before;
};

struct Datapath {
  Compile compile = Compile::automatic;
  std::string source_dir = "/usr/share/netkite/bpf";
  std::string cache_dir = "/var/cache/netkite/bpf";
  bool expedite_rcu = true;
  Position position = Position::first;
  std::uint32_t max_endpoints = 1024;   // addresses of local pods, each family
  std::uint32_t max_remotes = 16384;    // prefixes of other nodes, each family
  std::uint32_t event_buffer = 262144;  // bytes, a power of two and at least a page
};

struct Prefilter {
  XdpMode mode = XdpMode::automatic;
  std::uint32_t max_prefixes = 131072;  // each family; memory is taken as prefixes are added
  std::vector<Cidr> deny;
};

// Pools and peers come from the cluster's Node objects instead of this file.
struct Kubernetes {
  bool enabled = false;
  std::string manifests;     // a folder of YAML files that hold the objects; empty: an API server has them
  std::string kubeconfig;    // a path; empty: the service account of the agent's pod
  std::string server;        // a URL in place of the one that the kubeconfig or the pod's environment has
  bool report_ready = true;  // take the node's taint away and say NetworkUnavailable=False, once it is so
};

// The cluster's Services, at the socket (docs/datapath.md).
struct Services {
  bool enabled = false;
  std::string cgroup;        // whose sockets; empty: the root of the version 2 hierarchy, which is everybody's
  bool host_ports = false;   // serve pods' port mappings, which are portmap's else
  bool external_ips = true;  // serve spec.externalIPs, which whoever may write a Service can point anywhere
  std::uint32_t max_frontends = 32768;  // addresses and ports; memory is taken as they come, as with max_backends
  std::uint32_t max_backends = 131072;
  std::uint32_t max_connections = 131072;  // that this node translates; memory is taken as they come
  std::uint32_t first_port = 61000;        // for translated connections, first to last: none that the kernel hands out
  std::uint32_t last_port = 65535;         // by itself (net.ipv4.ip_local_port_range) and none of NodePorts
  ServicesXdp xdp = ServicesXdp::off;      // pass connections on at XDP, where an uplink's driver has it
  bool maglev = false;             // what comes from outside finds its backend by Maglev's tables, alike on every node
  bool dsr = false;                // clients from outside are led to the backend's node, which answers them itself
  std::uint32_t healthz_port = 0;  // on all addresses: whether services are in force here; 0: none
};

// Limits that runtimes ask for (the `bandwidth` capability), kept by us instead of a plugin chained behind ours.
struct Bandwidth {
  bool enabled = false;
};

struct Options {
  std::string node_name;                 // empty: $NETKITE_NODE_NAME, else the host's name
  std::string log_level = "info";        // trace, debug, info, warn, error
  std::string run_dir = "/run/netkite";  // ledger, socket, notes
  std::string socket;                    // empty: <run_dir>/agent.sock
  std::string bpffs = "/sys/fs/bpf/netkite";
  std::string sysctl_dir = "/proc/sys";  // a container sees a read-only one of its own there
  Device device = Device::automatic;
  std::vector<Cidr> pools;  // at least one unless Kubernetes has them; at most one per family
  std::vector<Peer> peers;
  Kubernetes kubernetes;
  Routing routing = Routing::native;  // how packets get to other nodes; auto: natively to those on a link of ours
  Overlay overlay;
  std::vector<std::string> uplinks;  // empty: the devices of the default routes and of the routes to the peers
  std::uint32_t mtu = 0;             // bytes; 0: follow the uplinks
  bool manage_forwarding = true;     // turn on IP forwarding where it is off
  Masquerade masquerade;
  Datapath datapath;
  Prefilter prefilter;
  Services services;
  Bandwidth bandwidth;
  std::vector<Hook> hooks;
  std::uint32_t http_port = 0;  // on 127.0.0.1: /healthz, /readyz, /metrics; 0: none
};

[[nodiscard]] std::string socket_path(const Options& options);
[[nodiscard]] std::string_view routing_name(Routing routing);  // as the file spells it
// Whether some nodes may be reached by the overlay.
[[nodiscard]] bool has_overlay(const Options& options);
// Whether programs may have to translate what pods send to the outside.
[[nodiscard]] bool masks_in_bpf(const Options& options);
// Whether programs translate anything at all.
[[nodiscard]] bool translates(const Options& options);

// Ports that connections are translated with, first to last, in host order. While programs masquerade the stack has the
// last quarter for itself: what it still translates must not meet what they do.
struct Ports {
  std::uint16_t first = 0, last = 0;
  bool operator==(const Ports&) const = default;
};
[[nodiscard]] Ports program_ports(const Options& options);
[[nodiscard]] Ports stack_ports(const Options& options);

}  // namespace netkite::config
