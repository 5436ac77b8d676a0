// SPDX-License-Identifier: Apache-2.0
// What the agent answers. The plugin's requests are described in common/wire/agent_api.hpp; these are for people's
// tools:
//
// "status"         {version, node_name, device, uptime_s, program_origin, rcu_expedite, endpoints, remotes, peers,
//                   uplinks: [{name, ifindex, mtu, xdp, services}], pools: [{prefix, capacity, taken}],
//                   maps: [{name, type, max_entries, bytes, entries?}], map_bytes, memory: {rss_bytes},
//                   missing: [line...], problems: [line...], programs: [...], programs_total}
//                  xdp is "native", "generic" or "off"; `missing` are kernel features that the node does without;
//                  `problems` says last how many more there are, if they are many;
//                  `programs` has those on uplinks and the foreign ones, as many as fit.
// "endpoints"      {endpoints: [{id, network, container_id, ifname, state, device, host_ifname, host_ifindex,
//                   pod_ifindex, addresses: [...], host_ports: ["192.0.2.1:8080:80/tcp", ...], pod_mac, host_mac,
//                   netns, pod_namespace, pod_name, pod_uid}],
//                   ...page}
// "programs"       {programs: [{name, hook, device, mode, ifindex, prog_id, link_id, ours}], ...page}
// "maps"           {maps: [as above], ...page}
// "drops"          {drops: [{reason, packets, bytes}]}: every reason, zeros too
// "prefilter_add"  with {prefixes: ["203.0.113.0/24", ...]}: {added: N}; all or nothing
// "prefilter_del"  the same: {removed: N}; not_found names the first prefix that is not denied
// "prefilter_list" {prefixes: [{prefix, packets, bytes}], ...page}
// "services"       {services: [{service, type, address, port, protocol, held, outside, backends: [{address, port,
//                   state}], backends_total}], ...page}: one for each frontend, with as many backends as fit, and
//                  `service` is the pod where `type` is "HostPort"; `held` is
//                  false when another service has the address; `outside` is the policy by which who comes from outside
//                  is served there, "Cluster" or "Local", or "". not_found: services are not asked for
// "conntrack_list" {entries: [{use, protocol, state, direction, from: {source, source_port, destination,
//                   destination_port}, to: {the same}, idle_s, expires_s}], used, room, next?}: two for each connection
//                  that is translated: "original" and "reply". `used` of `room` entries are, as of a few seconds ago
// "nat"            {connections: [{use, protocol, state, client, client_port, entrance, entrance_port, backend,
//                   backend_port, source, source_port, idle_s, expires_s}], used, room, next?}: one for each of them;
//                  `source` is what the backend sees
// "conntrack_flush" with {address?, port?, protocol?: "tcp", "udp", "icmp", "icmpv6"}: {removed: N, next?}: connections
//                  of whom an end is so
//                  These three go in steps: `next` is the `offset` of the next request, whose items may be none.
//                  not_found: services are not asked for
// "monitor"        {}, and then one message for each refused packet, until the connection closes:
//                  {"ok": true, "event": {time_ns, reason, hook, ifindex, endpoint_id, length, protocol, source,
//                   destination, source_port, destination_port}}
//                  or {"ok": true, "lost": N} when the reader was too slow for N events. source and destination are ""
//                  when the packet has none.
//
// A page: the request may carry `offset` and `limit` (items); the reply has `total`, and `next`, the offset to ask for,
// when there is more. Pages of one list on one connection come from one snapshot, taken at offset 0.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/api/metrics.hpp"
#include "agent/datapath/datapath.hpp"
#include "agent/endpoint/manager.hpp"
#include "agent/node/node.hpp"
#include "agent/service/registry.hpp"
#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::api {

// What the composition root knows and the handlers report.
struct NodeStatus {
  std::string version, node_name;
  wire::DeviceMode device = wire::DeviceMode::netkit;
  std::uint64_t uptime_s = 0;
  config::Routing routing = config::Routing::native;
  std::size_t peers = 0;
  node::View view;
  std::vector<std::string> missing;   // kernel features
  std::vector<std::string> problems;  // besides the view's
  bool uplinks_attached = false;      // programs are on every uplink
  std::string not_ready;              // why pods cannot be made for another reason; empty: they can
  struct Watch {
    std::string resource;
    std::size_t objects = 0;
    std::uint64_t events = 0;
    double lag_s = 0;  // what is known is at most that old
  };
  std::vector<Watch> watches;                   // of the API server
  const service::Registry* services = nullptr;  // null: not asked for
  const CallTimes* service_writes = nullptr;    // together with it
};

// A service at one of its addresses.
struct Frontend {
  std::string service;
  service::ListedFrontend listed;
};

// One connection: what it has begun and not finished.
struct Session {
  std::set<wire::Attachment> adding;    // between prepare and commit
  std::set<wire::Attachment> removing;  // between remove_begin and remove_end
  // Snapshots behind pages of lists.
  std::optional<std::vector<endpoint::Endpoint>> endpoints;
  std::optional<std::vector<datapath::ProgramReport>> programs;
  std::optional<std::vector<datapath::MapReport>> maps;
  std::optional<std::vector<datapath::DeniedPrefix>> denied;
  std::optional<std::vector<Frontend>> frontends;
  bool monitoring = false;  // wants events from now on
};

class Handlers {
 public:
  // Both outlive the handlers.
  Handlers(endpoint::Manager& manager, datapath::Datapath& datapath, std::function<NodeStatus()> status);

  // One request, one reply, both at most wire::kMaxMessage bytes. Never throws.
  [[nodiscard]] std::string handle(Session& session, std::string_view message, std::vector<UniqueFd> descriptors);
  // The connection is gone: finishes or undoes what it left.
  void closed(Session& session);

  [[nodiscard]] const CallTimes& adds() const { return adds_; }
  [[nodiscard]] const CallTimes& dels() const { return dels_; }

 private:
  using Json = nlohmann::json;
  using Reply = Result<Json>;
  struct Request {
    Json body;
    std::vector<UniqueFd> descriptors;
  };
  struct Operation;
  static const Operation* find(std::string_view name);
  [[nodiscard]] Reply dispatch(Session& session, Request request);

  Reply prepare(Session& session, const Request& request);
  Reply commit(Session& session, const Request& request);
  Reply remove_begin(Session& session, const Request& request);
  Reply remove_end(Session& session, const Request& request);
  Reply check(Session& session, const Request& request);
  Reply gc(Session& session, const Request& request);
  Reply cni_status(Session& session, const Request& request);

  Reply status(Session& session, const Request& request);
  Reply endpoints(Session& session, const Request& request);
  Reply programs(Session& session, const Request& request);
  Reply maps(Session& session, const Request& request);
  Reply drops(Session& session, const Request& request);
  Reply prefilter_add(Session& session, const Request& request);
  Reply prefilter_del(Session& session, const Request& request);
  Reply prefilter_list(Session& session, const Request& request);
  Reply services(Session& session, const Request& request);
  Reply conntrack_list(Session& session, const Request& request);
  Reply conntrack_flush(Session& session, const Request& request);
  Reply nat(Session& session, const Request& request);
  Reply monitor(Session& session, const Request& request);

  void log_reports();

  endpoint::Manager& manager_;
  datapath::Datapath& datapath_;
  void ended(CallTimes& times, const wire::Attachment& attachment);

  std::function<NodeStatus()> status_;
  std::map<wire::Attachment, std::chrono::steady_clock::time_point> begun_;  // ADDs and DELs under way
  CallTimes adds_, dels_;
};

}  // namespace netkite::api
