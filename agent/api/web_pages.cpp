// SPDX-License-Identifier: Apache-2.0
#include "agent/api/web_pages.hpp"

#include <unistd.h>

#include <fstream>

namespace netkite::api {
namespace {

template <typename T>
double figure(T count) {
  return static_cast<double>(count);
}

void write_node(MetricsWriter& out, const NodeStatus& node) {
  out.family("netkite_build_info", "gauge", "Always 1, with the version as a label.");
  out.sample(1, "version", node.version);
  out.family("netkite_ready", "gauge", "1 while pods can be made on this node.");
  out.sample(unready(node).empty() ? 1 : 0);
  out.family("netkite_problems", "gauge", "What the agent cannot do at the moment: see netkite status.");
  out.sample(figure(node.problems.size() + node.view.problems.size()));
  out.family("netkite_peers", "gauge", "Other nodes.");
  out.sample(figure(node.peers));
  out.family("netkite_remotes", "gauge", "Prefixes that lead to other nodes.");
  out.sample(figure(std::ranges::count(node.view.remotes, false, &datapath::Remote::beside)));
  out.family("process_resident_memory_bytes", "gauge", "Resident set of the agent.");
  out.sample(figure(resident_bytes()));
}

void write_watches(MetricsWriter& out, const NodeStatus& node) {
  if (node.watches.empty()) return;
  out.family("netkite_api_watch_lag_seconds", "gauge",
             "Since the API server last said anything of a resource: it does at least once a minute or so.");
  for (const auto& watch : node.watches) out.sample(watch.lag_s, "resource", watch.resource);
  out.family("netkite_api_watch_events_total", "counter", "What it said.");
  for (const auto& watch : node.watches) out.sample(figure(watch.events), "resource", watch.resource);
  out.family("netkite_api_objects", "gauge", "Objects that are known.");
  for (const auto& watch : node.watches) out.sample(figure(watch.objects), "resource", watch.resource);
}

void write_services(MetricsWriter& out, const NodeStatus& node) {
  if (node.service_writes == nullptr) return;
  out.family("netkite_service_write_seconds", "histogram",
             "From changes of Services or their endpoints, as they have been read, to the programs' maps.");
  out.histogram(*node.service_writes, "", "");
  out.family("netkite_service_write_failures_total", "counter", "Writes that the kernel refused; they are repeated.");
  out.sample(figure(node.service_writes->failures()));
}

void write_pods(MetricsWriter& out, const PageSources& sources) {
  out.family("netkite_endpoints", "gauge", "Pods' interfaces on this node.");
  out.sample(figure(sources.manager.size()));
  out.family("netkite_pool_addresses", "gauge", "Addresses that a pool can hand out.");
  for (const auto& pool : sources.manager.pools()) out.sample(figure(pool.capacity), "pool", pool.prefix.to_string());
  out.family("netkite_pool_addresses_taken", "gauge", "Addresses of a pool that are in use.");
  for (const auto& pool : sources.manager.pools()) out.sample(figure(pool.taken), "pool", pool.prefix.to_string());
  out.family("netkite_call_duration_seconds", "histogram", "From the first to the last phase of a CNI call.");
  out.histogram(sources.adds, "call", "ADD");
  out.histogram(sources.dels, "call", "DEL");
  out.family("netkite_call_failures_total", "counter", "CNI calls that the agent has refused or not finished.");
  out.sample(figure(sources.adds.failures()), "call", "ADD");
  out.sample(figure(sources.dels.failures()), "call", "DEL");
}

void write_datapath(MetricsWriter& out, datapath::Datapath& datapath) {
  if (const auto drops = datapath.drops()) {
    out.family("netkite_dropped_packets_total", "counter", "Refused packets.");
    for (const auto& drop : *drops) out.sample(figure(drop.packets), "reason", drop.reason);
    out.family("netkite_dropped_bytes_total", "counter", "Bytes of refused packets.");
    for (const auto& drop : *drops) out.sample(figure(drop.bytes), "reason", drop.reason);
  }
  const auto maps = datapath.maps();
  if (!maps) return;
  out.family("netkite_map_bytes", "gauge", "What the kernel charges for a map.");
  for (const auto& map : *maps) out.sample(figure(map.bytes), "map", map.name);
  out.family("netkite_map_max_entries", "gauge", "Entries that a map can hold.");
  for (const auto& map : *maps) out.sample(figure(map.max_entries), "map", map.name);
  out.family("netkite_map_entries", "gauge", "Entries in a map, where it can be told.");
  for (const auto& map : *maps) {
    if (map.entries) out.sample(figure(*map.entries), "map", map.name);
  }
}

void write_connections(MetricsWriter& out, const datapath::Datapath& datapath) {
  const auto counts = datapath.connection_counts();
  if (!counts) return;
  out.family("netkite_connections", "gauge", "Connections that this node translates, as of a few seconds ago.");
  for (const auto& kind : counts->kinds) {
    out.sample(figure(kind.connections), {{"use", kind.use}, {"protocol", kind.protocol}});
  }
  out.family("netkite_connections_max", "gauge", "Connections that there is room for.");
  out.sample(figure(counts->max_entries / 2));
  out.family("netkite_connections_expired_total", "counter", "Connections that were silent for too long.");
  out.sample(figure(counts->expired));
}

}  // namespace

// proc(5): the second figure of statm is the resident set in pages.
std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::string unready(const NodeStatus& node) {
  if (!node.not_ready.empty()) return node.not_ready;
  if (node.uplinks_attached) return {};
  return node.problems.empty() ? "programs are not attached to every uplink" : node.problems.front();
}

WebReply web_page(std::string_view path, const NodeStatus& node, const PageSources& sources) {
  if (path == "/healthz") return {.status = 200, .body = "ok\n"};
  if (path == "/readyz") {
    const auto why = unready(node);
    return why.empty() ? WebReply{.status = 200, .body = "ok\n"} : WebReply{.status = 503, .body = why + "\n"};
  }
  if (path != "/metrics") return {.status = 404, .body = "/healthz, /readyz or /metrics\n"};
  MetricsWriter out;
  write_node(out, node);
  write_watches(out, node);
  write_services(out, node);
  write_pods(out, sources);
  write_datapath(out, sources.datapath);
  write_connections(out, sources.datapath);
  return {.status = 200, .body = out.take()};
}

}  // namespace netkite::api
