// SPDX-License-Identifier: Apache-2.0
// What the plugin and the CLI say to the agent, over a Unix SOCK_SEQPACKET socket: one JSON object a message.
//
// Request:  {"op": "<name>", ...fields}      Reply: {"ok": true, ...fields} or {"ok": false, "error": {...}}
// A message has at most kMaxMessage bytes. A request that carries a network namespace brings its open file descriptor
// as SCM_RIGHTS with the same message (exactly one). Replies come in request order on one connection.
//
// An attachment is (container_id, ifname) within a network name. ADD is two phases on one connection:
//   prepare  the agent reserves addresses and answers what to build;
//   commit   the pair exists: the agent attaches programs, fills maps, adds host routes.
// When the connection ends between the two, the agent removes all of it again, the host's device included.
// DEL likewise: remove_begin (programs are about to go, grace periods are expedited), the plugin deletes the device,
// remove_end (addresses are free). An end of connection after remove_begin makes the agent finish the removal itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/ip.hpp"
#include "common/base/result.hpp"
#include "common/wire/port_mapping.hpp"

namespace netkite::wire {

inline constexpr std::size_t kMaxMessage = 65536;  // bytes
inline constexpr std::string_view kDefaultSocket = "/run/netkite/agent.sock";
inline constexpr int kApiVersion = 1;

enum class DeviceMode : std::uint8_t { netkit, netkit_l2, veth };
[[nodiscard]] std::string_view to_string(DeviceMode mode);  // "netkit", "netkit-l2", "veth"
[[nodiscard]] Result<DeviceMode> parse_device_mode(std::string_view text);

// Identifies one interface of one container.
struct Attachment {
  std::string network{};       // the network configuration's name
  std::string container_id{};  // CNI_CONTAINERID
  std::string ifname{};        // CNI_IFNAME, the pod's interface name
  auto operator<=>(const Attachment&) const = default;
};

// The host end's name, at most 15 bytes, derived from the attachment alone, so that DEL works with the agent away.
[[nodiscard]] std::string host_ifname(const Attachment& attachment);

// The `bandwidth` capability: bits per second, and bits that idle time may be made up for with. 0: no limit.
struct Bandwidth {
  std::uint64_t ingress_rate = 0, ingress_burst = 0;  // what the pod gets
  std::uint64_t egress_rate = 0, egress_burst = 0;    // what it sends
  bool operator==(const Bandwidth&) const = default;
};
inline constexpr std::uint64_t kLeastRate = 1000, kMostRate = 1'000'000'000'000'000;  // as Kubernetes has them
inline constexpr std::uint64_t kMostBurst = (1ULL << 32) * 8 - 1;                     // 4 GiB

// op "prepare", with the namespace's descriptor.
struct PrepareRequest {
  Attachment attachment{};
  std::string netns{};                                 // the path, for people only
  std::vector<Ip> requested_ips{};                     // the `ips` capability or args; empty: the agent chooses
  std::optional<Mac> requested_mac{};                  // refused (invalid) when the device mode is netkit (L3)
  std::string pod_namespace{}, pod_name{}, pod_uid{};  // CNI_ARGS K8S_POD_*, may be empty
  bool stack_path = false;  // plugins behind us work on the pod's packets in the node's stack: no short cuts
  // Those that the agent may serve itself, and then they need no `stack_path`.
  std::vector<PortMapping> port_mappings{};
  bool bandwidth = false;              // one of them limits rates: the field's plugin for that knows veth devices only
  std::optional<Bandwidth> limits{};   // the same in numbers, for a node that keeps them itself
  std::optional<DeviceMode> device{};  // the pod's own wish; empty: as the node is configured
};

struct PrepareReply {
  DeviceMode device = DeviceMode::netkit;
  std::string host_ifname{};
  std::vector<Ip> addresses{};     // at most one per family unless requested
  std::uint32_t mtu = 0;           // bytes
  std::uint32_t gso_max_size = 0;  // bytes, 0: leave the kernel's default
  std::uint32_t gro_max_size = 0;
  std::uint16_t headroom = 0;                // bytes before a pod's packet, for what a tunnel writes there; netkit only
  bool scrub_none = true;                    // primary keeps skb->mark where the kernel has the attribute
  std::optional<Mac> pod_mac{}, host_mac{};  // L2 modes only
  std::optional<Ip> gateway4{}, gateway6{};  // L2 modes only: link-local gateways with permanent neighbours
};

// op "commit"
struct CommitRequest {
  Attachment attachment{};
  std::uint32_t host_ifindex = 0;
  std::uint32_t pod_ifindex = 0;  // in the pod's namespace
};

// op "remove_begin" and "remove_end"; both succeed for attachments that are unknown.
struct RemoveRequest {
  Attachment attachment{};
};
struct RemoveBeginReply {
  bool known = false;
  std::uint64_t netns_inode = 0;  // of the namespace given to prepare; 0 when unknown
};

// op "check"
struct CheckReply {
  bool attached = false;  // both programs are attached to the device now
  std::string problem{};  // empty when all is well, else one line
  DeviceMode device = DeviceMode::netkit;
  std::string host_ifname{};
  std::uint32_t host_ifindex = 0;
  std::vector<Ip> addresses{};
};

// op "gc": remove the network's attachments that are not in `valid`.
struct GcRequest {
  std::string network{};
  std::vector<Attachment> valid{};  // network left empty in each
};

// op "cni_status": may an ADD work now?
struct CniStatusReply {
  bool ready = false;           // host programs attached
  bool addresses_left = false;  // in every family that is configured
  std::string message{};        // one line for the runtime's log
};

// JSON forms. `from_json` checks types, lengths and values and names the offending field.
[[nodiscard]] nlohmann::json to_json(const Attachment& value);
[[nodiscard]] nlohmann::json to_json(const Bandwidth& value);
[[nodiscard]] nlohmann::json to_json(const PrepareRequest& value);
[[nodiscard]] nlohmann::json to_json(const PrepareReply& value);
[[nodiscard]] nlohmann::json to_json(const CommitRequest& value);
[[nodiscard]] nlohmann::json to_json(const RemoveRequest& value);
[[nodiscard]] nlohmann::json to_json(const RemoveBeginReply& value);
[[nodiscard]] nlohmann::json to_json(const CheckReply& value);
[[nodiscard]] nlohmann::json to_json(const GcRequest& value);
[[nodiscard]] nlohmann::json to_json(const CniStatusReply& value);

template <typename T>
[[nodiscard]] Result<T> from_json(const nlohmann::json& message);
template <>
Result<Attachment> from_json(const nlohmann::json& message);
template <>
Result<Bandwidth> from_json(const nlohmann::json& message);
template <>
Result<PrepareRequest> from_json(const nlohmann::json& message);
template <>
Result<PrepareReply> from_json(const nlohmann::json& message);
template <>
Result<CommitRequest> from_json(const nlohmann::json& message);
template <>
Result<RemoveRequest> from_json(const nlohmann::json& message);
template <>
Result<RemoveBeginReply> from_json(const nlohmann::json& message);
template <>
Result<CheckReply> from_json(const nlohmann::json& message);
template <>
Result<GcRequest> from_json(const nlohmann::json& message);
template <>
Result<CniStatusReply> from_json(const nlohmann::json& message);

// {"ok": false, "error": {"code": "exhausted", "message": "…"}} and back.
[[nodiscard]] nlohmann::json to_json(const Error& error);
[[nodiscard]] nlohmann::json success(nlohmann::json fields = nlohmann::json::object());
// The reply's fields, or the Error that it carries. A reply of any other shape is Code::io.
[[nodiscard]] Result<nlohmann::json> unpack_reply(std::string_view message);

// The message's text: never throws, bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string to_text(const nlohmann::json& message);
// A JSON object out of a message; anything else is Code::invalid.
[[nodiscard]] Result<nlohmann::json> parse_object(std::string_view message);

// Names as the CNI specification 1.1 has them (section 2): ^[A-Za-z0-9][A-Za-z0-9_.-]*$, and interface names
// (1 to 15 printable ASCII characters without '/', ':', '%' or space, not "." or "..").
[[nodiscard]] bool is_valid_name(std::string_view name);
[[nodiscard]] bool is_valid_ifname(std::string_view name);

}  // namespace netkite::wire
