// SPDX-License-Identifier: Apache-2.0
// The operations for people's tools.
#include <algorithm>
#include <functional>

#include "agent/api/handlers.hpp"
#include "agent/api/page.hpp"
#include "agent/api/web_pages.hpp"

namespace netkite::api {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kStatusProgramBytes = 16384;
constexpr std::size_t kStatusProblems = 50;  // lines that a person reads, and as many bytes as of programs
constexpr std::size_t kMostBackends = 256;   // of one frontend, for the same reason
constexpr std::size_t kLabelBytes = 8192;    // of one pod: a reply has to have room for the rest

Json to_json(const datapath::MapReport& map) {
  Json json{{"name", map.name}, {"type", map.type}, {"max_entries", map.max_entries}, {"bytes", map.bytes}};
  if (map.entries) json["entries"] = *map.entries;
  return json;
}

Json to_json(const datapath::ProgramReport& program) {
  return {
      {"name", program.name},       {"hook", program.hook},       {"device", program.device},   {"mode", program.mode},
      {"ifindex", program.ifindex}, {"prog_id", program.prog_id}, {"link_id", program.link_id}, {"ours", program.ours},
  };
}

Json to_json(const datapath::DeniedPrefix& denied) {
  return {{"prefix", denied.prefix.to_string()}, {"packets", denied.packets}, {"bytes", denied.bytes}};
}

// As Services spell it.
std::string_view policy_of(const std::optional<service::Scope>& access) {
  if (!access) return "";
  return *access == service::Scope::local ? "Local" : "Cluster";
}

Json to_json(const Frontend& each) {
  const auto& frontend = each.listed.frontend;
  Json backends = Json::array();
  for (const auto& backend : each.listed.backends) {
    if (backends.size() == kMostBackends) break;
    backends.push_back(
        {{"address", backend.address.to_string()}, {"port", backend.port}, {"state", to_string(backend.state)}});
  }
  return {{"service", each.service},
          {"type", to_string(each.listed.kind)},
          {"address", frontend.address.to_string()},
          {"port", frontend.port},
          {"protocol", kube::to_string(frontend.protocol)},
          {"held", each.listed.held},
          {"outside", policy_of(each.listed.access)},
          {"backends", std::move(backends)},
          {"backends_total", each.listed.backends.size()}};
}

Json labels_of(const endpoint::Endpoint& endpoint) {
  Json labels = Json::object();
  std::size_t bytes = 0;
  for (const auto& [key, value] : endpoint.labels) {
    bytes += key.size() + value.size();
    if (bytes <= kLabelBytes) labels[key] = value;
  }
  return labels;
}

Json summary(const endpoint::Endpoint& endpoint) {
  Json addresses = Json::array();
  for (const auto& address : endpoint.addresses) addresses.push_back(address.to_string());
  Json ports = Json::array();
  for (const auto& mapping : endpoint.host_ports) ports.push_back(wire::to_string(mapping));
  const auto mac = [](const Mac& value) { return value.is_zero() ? std::string() : value.to_string(); };
  return {
      {"id", endpoint.id},
      {"network", endpoint.attachment.network},
      {"container_id", endpoint.attachment.container_id},
      {"ifname", endpoint.attachment.ifname},
      {"state", to_string(endpoint.state)},
      {"device", wire::to_string(endpoint.device)},
      {"host_ifname", endpoint.host_ifname},
      {"host_ifindex", endpoint.host_ifindex},
      {"pod_ifindex", endpoint.pod_ifindex},
      {"addresses", std::move(addresses)},
      {"host_ports", std::move(ports)},
      {"pod_mac", mac(endpoint.pod_mac)},
      {"host_mac", mac(endpoint.host_mac)},
      {"netns", endpoint.netns_path},
      {"pod_namespace", endpoint.pod_namespace},
      {"pod_name", endpoint.pod_name},
      {"pod_uid", endpoint.pod_uid},
      {"bandwidth", wire::to_json(endpoint.bandwidth)},
      {"labels", labels_of(endpoint)},
  };
}

Json uplinks_of(const node::View& view, const std::vector<datapath::ProgramReport>& programs,
                const datapath::Datapath& datapath) {
  Json uplinks = Json::array();
  for (const auto& uplink : view.uplinks) {
    std::string xdp = "off";
    for (const auto& program : programs) {
      if (program.ours && program.ifindex == uplink.ifindex && program.hook == "xdp") xdp = program.mode;
    }
    uplinks.push_back({{"name", uplink.name},
                       {"ifindex", uplink.ifindex},
                       {"mtu", uplink.mtu},
                       {"xdp", xdp},
                       {"services", datapath.services_at(uplink.ifindex)}});
  }
  return uplinks;
}

// What a person looks at first: programs on uplinks, and whatever is not ours.
std::vector<datapath::ProgramReport> notable(const node::View& view, std::vector<datapath::ProgramReport> programs) {
  std::erase_if(programs, [&view](const datapath::ProgramReport& program) {
    const bool on_uplink = std::ranges::any_of(
        view.uplinks, [&program](const node::Uplink& uplink) { return uplink.ifindex == program.ifindex; });
    return program.ours && !on_uplink;
  });
  return programs;
}

// The view's come last: every peer may have one.
Json problems_of(const NodeStatus& node) {
  auto lines = node.problems;
  lines.insert(lines.end(), node.view.problems.begin(), node.view.problems.end());
  Json list = Json::array();
  const auto shown =
      append_items(list, lines, {.offset = 0, .limit = kStatusProblems}, std::identity(), kStatusProgramBytes);
  if (shown < lines.size()) list.push_back("and " + std::to_string(lines.size() - shown) + " more: see the log");
  return list;
}

Json pools_of(const endpoint::Manager& manager) {
  Json pools = Json::array();
  for (const auto& pool : manager.pools()) {
    pools.push_back({{"prefix", pool.prefix.to_string()}, {"capacity", pool.capacity}, {"taken", pool.taken}});
  }
  return pools;
}

Result<std::vector<Cidr>> prefixes_of(const Json& request) {
  const auto found = request.find("prefixes");
  if (found == request.end() || !found->is_array()) return fail(Code::invalid, "prefixes must be an array");
  std::vector<Cidr> prefixes;
  for (std::size_t i = 0; i < found->size(); ++i) {
    const auto where = "prefixes[" + std::to_string(i) + "]";
    const Json& item = (*found)[i];
    if (!item.is_string()) return fail(Code::invalid, where + " must be a string");
    const auto prefix = Cidr::parse(item.get_ref<const std::string&>());
    if (!prefix) return wrap(prefix.error(), where);
    prefixes.push_back(*prefix);
  }
  return prefixes;
}

}  // namespace

Handlers::Reply Handlers::status(Session& /*session*/, const Request& /*request*/) {
  const auto node = status_();
  const auto maps = datapath_.maps();
  if (!maps) return tl::make_unexpected(maps.error());
  const auto programs = datapath_.programs();
  if (!programs) return tl::make_unexpected(programs.error());

  Json map_list = Json::array();
  std::uint64_t map_bytes = 0;
  for (const auto& map : *maps) {
    map_list.push_back(to_json(map));
    map_bytes += map.bytes;
  }
  Json program_list = Json::array();
  const auto to_json_program = [](const datapath::ProgramReport& program) { return to_json(program); };
  append_items(program_list, notable(node.view, *programs), {}, to_json_program, kStatusProgramBytes);
  return Json{
      {"version", node.version},
      {"node_name", node.node_name},
      {"device", wire::to_string(node.device)},
      {"uptime_s", node.uptime_s},
      {"program_origin", datapath_.program_origin()},
      {"rcu_expedite", datapath::ExpediteRcu::state()},
      {"endpoints", manager_.size()},
      {"remotes", std::ranges::count(node.view.remotes, false, &datapath::Remote::beside)},
      {"peers", node.peers},
      {"routing", config::routing_name(node.routing)},
      {"tunnels",
       std::ranges::count_if(node.view.remotes,
                             [](const auto& remote) { return remote.tunnel.has_value() && !remote.beside; })},
      {"overlay_mtu", node.view.overlay.mtu},
      {"pod_mtu", node.view.pod_mtu},
      {"uplinks", uplinks_of(node.view, *programs, datapath_)},
      {"pools", pools_of(manager_)},
      {"maps", std::move(map_list)},
      {"map_bytes", map_bytes},
      {"memory", {{"rss_bytes", resident_bytes()}}},
      {"missing", node.missing},
      {"problems", problems_of(node)},
      {"programs", std::move(program_list)},
      {"programs_total", programs->size()},
  };
}

Handlers::Reply Handlers::endpoints(Session& session, const Request& request) {
  return kept_page("endpoints", request.body, session.endpoints, [this] { return manager_.list(); }, summary);
}

Handlers::Reply Handlers::programs(Session& session, const Request& request) {
  return kept_page(
      "programs", request.body, session.programs, [this] { return datapath_.programs(); },
      [](const datapath::ProgramReport& each) { return to_json(each); });
}

Handlers::Reply Handlers::maps(Session& session, const Request& request) {
  return kept_page(
      "maps", request.body, session.maps, [this] { return datapath_.maps(); },
      [](const datapath::MapReport& each) { return to_json(each); });
}

Handlers::Reply Handlers::drops(Session& /*session*/, const Request& /*request*/) {
  const auto drops = datapath_.drops();
  if (!drops) return tl::make_unexpected(drops.error());
  Json list = Json::array();
  for (const auto& drop : *drops) {
    list.push_back({{"reason", drop.reason}, {"packets", drop.packets}, {"bytes", drop.bytes}});
  }
  return Json{{"drops", std::move(list)}};
}

Handlers::Reply Handlers::prefilter_add(Session& /*session*/, const Request& request) {
  const auto prefixes = prefixes_of(request.body);
  if (!prefixes) return tl::make_unexpected(prefixes.error());
  if (auto done = datapath_.deny(*prefixes); !done) return tl::make_unexpected(done.error());
  return Json{{"added", prefixes->size()}};
}

Handlers::Reply Handlers::prefilter_del(Session& /*session*/, const Request& request) {
  const auto prefixes = prefixes_of(request.body);
  if (!prefixes) return tl::make_unexpected(prefixes.error());
  if (auto done = datapath_.undeny(*prefixes); !done) return tl::make_unexpected(done.error());
  return Json{{"removed", prefixes->size()}};
}

Handlers::Reply Handlers::prefilter_list(Session& session, const Request& request) {
  return kept_page(
      "prefixes", request.body, session.denied, [this] { return datapath_.denied(); },
      [](const datapath::DeniedPrefix& each) { return to_json(each); });
}

Handlers::Reply Handlers::services(Session& session, const Request& request) {
  const auto read = [this]() -> Result<std::vector<Frontend>> {
    const auto* registry = status_().services;
    if (registry == nullptr)
      return fail(Code::not_found, "services.enabled is false: kube-proxy or nobody serves them");
    std::vector<Frontend> frontends;
    registry->list([&](const service::Listing& listing) {
      for (const auto& each : listing.frontends) frontends.push_back({.service = listing.key, .listed = each});
    });
    return frontends;
  };
  return kept_page("services", request.body, session.frontends, read,
                   [](const Frontend& each) { return to_json(each); });
}

Handlers::Reply Handlers::monitor(Session& session, const Request& /*request*/) {
  session.monitoring = true;
  return Json::object();
}

}  // namespace netkite::api
