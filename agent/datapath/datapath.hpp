// SPDX-License-Identifier: Apache-2.0
// The BPF side of a node: programs, links and maps, as the rest of the agent sees them.
// Everything is pinned below `bpffs`, so packets flow on when the agent ends; opening adopts what is there.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/options.hpp"
#include "agent/service/table.hpp"
#include "common/base/ip.hpp"
#include "common/base/result.hpp"
#include "common/netlink/sock_diag.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::datapath {

// A pod's device as the programs need it.
struct EndpointDevice {
  std::uint32_t id = 0;  // the endpoint's number, never 0
  std::string host_ifname;
  std::uint32_t host_ifindex = 0;
  wire::DeviceMode mode = wire::DeviceMode::netkit;
  std::vector<Ip> addresses;
  Mac pod_mac, host_mac;        // L2 modes; zero otherwise
  bool stack_path = false;      // its packets take the node's stack, where others rewrite or queue them
  wire::Bandwidth bandwidth{};  // what we limit it to; what it gets by a queue on its device
};

// The way to another node: one prefix (its pods, or its own address as /32 or /128).
struct Remote {
  Cidr prefix;
  std::uint32_t ifindex = 0;  // uplink
  std::uint32_t mtu = 0;      // bytes
  Ip nexthop;                 // the neighbour to ask for: the node itself or a router
  struct Tunnel {
    std::uint32_t device = 0;  // the overlay's
    Ip node, local;            // the ends, of one family
    auto operator<=>(const Tunnel&) const = default;
  };
  std::optional<Tunnel> tunnel{};  // by the overlay; `mtu` is what fits into it
  bool own = false;                // tunnels: the prefix is the node's own address, not its pods'
  bool beside = false;             // tunnels: only for clients that are led there; all else has a native way
  std::optional<Ip> source{};      // tunnels: what the other node knows this one by, in the prefix's family
  auto operator<=>(const Remote&) const = default;
};

struct DropCount {
  std::string reason;  // the names of drop_reason_name()
  std::uint64_t packets = 0, bytes = 0;
};

struct DropEvent {
  std::uint64_t time_ns = 0;  // CLOCK_MONOTONIC
  std::string reason, hook;
  std::uint32_t ifindex = 0, endpoint_id = 0, length = 0;
  std::string protocol;  // "TCP", "UDP", "ICMP", "ICMPv6", a number, or "" when unknown
  std::optional<Ip> source, destination;
  std::uint16_t source_port = 0, destination_port = 0;
};

struct DeniedPrefix {
  Cidr prefix;
  std::uint64_t packets = 0, bytes = 0;
};

// What a node is to others when it translates.
struct Self {
  std::vector<Ip> addresses;  // at most one per family
  std::uint16_t first_port = 0, last_port = 0;

  bool operator==(const Self&) const = default;
};

// What pods' packets get to the outside with, by programs.
struct Masquerade {
  struct Exit {
    std::uint32_t ifindex = 0;  // an uplink
    std::vector<Ip> addresses;  // at most one per family
  };
  std::vector<Exit> exits;   // by others connections leave as the stack wants
  std::vector<Cidr> direct;  // whom pods talk with under their own addresses; may overlap
  config::Ports own_ports, stack_ports;
};

// ICMP echo has its identifier in both ports' places.
struct Tuple {
  Ip source, destination;
  std::uint16_t source_port = 0, destination_port = 0;
};

// One direction of a connection that this node translates.
struct ConnectionEntry {
  Tuple from, to;             // what a packet looks like when it comes, and what it becomes
  std::string protocol, use;  // "TCP", "UDP", "ICMP", "ICMPv6"; "service", "masquerade", "direct"
  std::string state;          // of the connection: "established", …
  bool reply = false;         // towards who began it
  std::uint64_t silent_s = 0, connection_silent_s = 0;  // without a packet in this direction, and in either
  std::uint64_t expires_s = 0;                          // until the connection is taken away, should it stay silent
};

// A pod's to the outside, with all that an entry says of it.
struct MaskedConnection {
  Tuple from;      // as the pod sends
  Ip seen_source;  // as the outside sees it
  std::uint16_t seen_port = 0;
  std::uint8_t protocol = 0;
  std::uint32_t ifindex = 0;  // the uplink
};

// Whoever has all of it, with any of its four ends. What is not said matches everybody.
struct ConnectionFilter {
  std::optional<Ip> address;
  std::optional<std::uint16_t> port;
  std::optional<std::uint8_t> protocol;
};

// Steps through the table of connections: each costs a bounded time, and says where the next one has to begin (at
// first: 0), or that this was the last. What is neither added nor removed meanwhile comes exactly once.
using ConnectionPlace = std::optional<std::uint32_t>;

// As the last whole look at the table found it.
struct ConnectionCounts {
  struct Kind {
    std::string use, protocol;
    std::uint64_t connections = 0;
  };
  std::vector<Kind> kinds;  // every combination, zeros too
  std::uint64_t entries = 0;
  std::uint32_t max_entries = 0;  // two for each connection
  std::uint64_t expired = 0;      // connections that were taken away for their age, since the agent's start
};

// A connected socket of datagrams that was led to a backend which is none any more.
struct StaleSocket {
  netlink::UdpSocket socket;
  std::uint64_t netns = 0;    // the inode of its network namespace
  service::Frontend service;  // that it had asked for
  bool held = false;          // its owner has its lock, as long as the memory takes that he sends from (MSG_MORE)
};

struct MapReport {
  std::string name, type;
  std::uint32_t max_entries = 0;
  std::uint64_t bytes = 0;               // memlock of the map's fdinfo: what the kernel charges
  std::optional<std::uint64_t> entries;  // hash and LPM maps
};

struct ProgramReport {
  std::string name, hook, device;  // hook: "netkit-peer", "netkit-primary", "tcx-ingress", "tcx-egress", "xdp"
  std::string mode;                // xdp: "native" or "generic"; else empty
  std::uint32_t ifindex = 0, prog_id = 0, link_id = 0;
  bool ours = true;
};

[[nodiscard]] std::string_view drop_reason_name(std::uint32_t reason);  // "spoofed-source", "router-advertisement", …

// What the kernel under us can do, by trying it. `missing` has one line per absent feature: its name, the kernel option
// and what happens instead.
struct Features {
  bool netkit = false, tcx = false, netkit_scrub = false, ringbuf = false;
  // What our kernel patches give, or whoever else has them (docs/kernel.md).
  bool peer_redirect = false;  // bpf_redirect_peer works in netkit programs
  bool quick_attach = false;   // a link is attached without waiting for a grace period
  std::vector<std::string> missing;
  std::string untried;  // why nothing is known of devices and programs; empty: it was tried
};
[[nodiscard]] Features probe_features();

// The MAC of every node's overlay device, as the programs write it.
[[nodiscard]] Mac overlay_mac();

class Datapath {
 public:
  virtual ~Datapath() = default;

  // Maps, programs, hooks. Endpoints' links found in the kernel are adopted by attach_endpoint of the same device.
  // Without `features` nothing is used that not every kernel with tcx has.
  [[nodiscard]] static Result<std::unique_ptr<Datapath>> open(const config::Options& options,
                                                              const Features& features = {});

  // Programs first, then map entries: the device carries nothing until all of it is in place; a failure undoes all.
  // Called again for a device that has its links: replaces programs in place, re-creates lost pins, never duplicates.
  [[nodiscard]] virtual Result<void> attach_endpoint(const EndpointDevice& device) = 0;
  // Map entries first, then pins and links. Tolerates anything that is gone already.
  [[nodiscard]] virtual Result<void> detach_endpoint(const EndpointDevice& device) = 0;
  // Code::not_found with one line when a link or an entry is missing.
  [[nodiscard]] virtual Result<void> verify_endpoint(const EndpointDevice& device) = 0;

  // Attaches from_netdev (tcx ingress), the prefilter (XDP) and the uplink hooks; idempotent, adopts. to_netdev (tcx
  // egress) as well once somebody answers by the node's stack, in a former run too.
  [[nodiscard]] virtual Result<void> attach_uplink(std::uint32_t ifindex, const std::string& name) = 0;
  [[nodiscard]] virtual Result<void> detach_uplink(std::uint32_t ifindex, const std::string& name) = 0;
  // What of the attached uplinks may have changed: addresses, what their drivers can.
  virtual void refresh_uplinks() {}
  // Where an uplink's translated connections are passed on: "xdp", "tcx", behind a colon what else there is to say;
  // "off".
  [[nodiscard]] virtual std::string services_at(std::uint32_t /*ifindex*/) const { return "off"; }
  // from_overlay (tcx ingress), to_overlay (tcx egress) and the backstop behind both, so that the device carries
  // nothing that we have not seen; idempotent, adopts. Only where `routing` asks for an overlay.
  [[nodiscard]] virtual Result<void> attach_overlay(std::uint32_t ifindex, const std::string& name) = 0;
  // Unpins links of devices that are not in `ifindexes` (host ends of pods and uplinks): what a former run left.
  [[nodiscard]] virtual Result<void> remove_stale(const std::vector<std::uint32_t>& ifindexes) = 0;

  // The whole set; only differences are written.
  [[nodiscard]] virtual Result<void> set_remotes(const std::vector<Remote>& remotes) = 0;

  // What differs is written. Only where the configuration asks for masquerade by programs; else not_found.
  [[nodiscard]] virtual Result<void> set_masquerade(const Masquerade& masquerade) = 0;

  // Services, at every socket of services.cgroup. Only where the configuration asks for them; else not_found.
  [[nodiscard]] virtual Result<void> attach_sockets() = 0;  // idempotent, adopts
  [[nodiscard]] virtual Result<service::Table> services() = 0;
  // exhausted: a map is full; all that fits is in effect, and all that is gone is gone. After any failure services()
  // says what there is.
  [[nodiscard]] virtual Result<void> change_services(const service::Changes& changes) = 0;
  // In whatever network namespace. It takes as long as there are sockets that have asked for a service.
  [[nodiscard]] virtual Result<std::vector<StaleSocket>> stale_sockets() = 0;

  // Connections that programs translate; not_found where nothing is to be translated.
  [[nodiscard]] virtual Result<void> set_self(const Self& self) = 0;
  // Open ones, that somebody else has translated so far. How many are in the table now that were not before.
  [[nodiscard]] virtual Result<std::size_t> take_over(const std::vector<MaskedConnection>& connections) = 0;
  [[nodiscard]] virtual Result<ConnectionPlace> list_connections(
      std::uint32_t place, const std::function<void(const ConnectionEntry&)>& each) = 0;
  // Forgets those that match: their next packets are those of strangers. `removed` counts connections.
  struct FlushStep {
    std::uint64_t removed = 0;
    ConnectionPlace next;
  };
  [[nodiscard]] virtual Result<FlushStep> flush_connections(std::uint32_t place, const ConnectionFilter& filter) = 0;
  // Takes away what is old, from where the last step ended.
  struct SweepStep {
    bool round_over = false;
    bool hurry = false;                // the table is filling up with what will soon be old
    std::uint32_t steps = 1;           // through a table that is full
    std::chrono::nanoseconds cost{0};  // of processor time
  };
  [[nodiscard]] virtual Result<SweepStep> sweep_connections() = 0;
  [[nodiscard]] virtual Result<ConnectionCounts> connection_counts() const = 0;

  [[nodiscard]] virtual Result<void> deny(const std::vector<Cidr>& prefixes) = 0;  // batched; all or nothing
  [[nodiscard]] virtual Result<void> undeny(
      const std::vector<Cidr>& prefixes) = 0;  // not_found names the first unknown
  [[nodiscard]] virtual Result<std::vector<DeniedPrefix>> denied() = 0;

  [[nodiscard]] virtual Result<std::vector<DropCount>> drops() = 0;  // every reason, zeros included
  [[nodiscard]] virtual Result<std::vector<MapReport>> maps() = 0;
  [[nodiscard]] virtual Result<std::vector<ProgramReport>> programs() = 0;  // on our devices, foreign ones too

  // Drop events: epoll descriptor to wait on, drain, and the switch that makes programs write them.
  [[nodiscard]] virtual int event_fd() const = 0;
  // A bounded number of them, so that a flood of refusals never keeps the agent from its work. True: there are more.
  [[nodiscard]] virtual Result<bool> drain_events(const std::function<void(const DropEvent&)>& each) = 0;
  [[nodiscard]] virtual Result<void> set_monitor(bool on) = 0;

  // "embedded" or "clang <version>": where the running programs came from.
  [[nodiscard]] virtual std::string program_origin() const = 0;

  // Kernel features that were found missing when the programs were loaded, a line each as in Features.
  [[nodiscard]] virtual std::vector<std::string> missing() const { return {}; }

  // One line for each thing that does not work as configured while the rest goes on: "the deny-list is not enforced on
  // eth0: …". Changes with every attach, deny and undeny.
  [[nodiscard]] virtual std::vector<std::string> problems() const { return {}; }
};

// While one of these lives, RCU grace periods are expedited: an attach waits 0.1 ms under RTNL instead of 16.
// Reference-counted in the process and, by a record in `folder`, among all agents that were given the same one. After a
// crash the next of them takes back what was left. One more expedites for the kernel, so others' values stay in place.
class ExpediteRcu {
 public:
  static void configure(bool enabled, const std::string& folder);  // at start
  [[nodiscard]] static std::string state();  // one word for `status`: "on", "idle", "off", "read-only"
  ExpediteRcu();
  ~ExpediteRcu();
  ExpediteRcu(ExpediteRcu&&) noexcept;
  ExpediteRcu& operator=(ExpediteRcu&&) noexcept;

 private:
  bool holds_ = false;
};

}  // namespace netkite::datapath
