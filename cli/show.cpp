// SPDX-License-Identifier: Apache-2.0
// The commands that ask one question and print the answer.
#include "cli/commands.hpp"
#include "cli/fields.hpp"
#include "cli/list.hpp"
#include "cli/table.hpp"

namespace netkite::cli {
namespace {

using Json = nlohmann::json;

// All pages of a list, as one reply.
Result<Json> fetch_all(Agent& agent, std::string_view op, const std::string& key) {
  Json all = Json::array();
  std::uint64_t offset = 0;
  for (;;) {
    auto page = agent.call(op, {{"offset", offset}});
    if (!page) return page;
    for (auto& item : items(*page, key)) all.push_back(std::move(item));
    const auto next = whole_number(*page, "next");
    if (next <= offset) return Json{{key, std::move(all)}};
    offset = next;
  }
}

void print_summary(std::ostream& out, const Json& status) {
  const auto line = [&](std::string name, const std::string& value) {
    name.resize(11, ' ');
    out << name << printable(value) << '\n';
  };
  line("node", text(status, "node_name"));
  line("version", text(status, "version"));
  line("up", readable_seconds(whole_number(status, "uptime_s")));
  line("device", text(status, "device"));
  line("programs", text(status, "program_origin") + ", " + text(status, "programs_total") + " attached");
  line("rcu", "expedite " + text(status, "rcu_expedite"));
  line("endpoints", text(status, "endpoints"));
  line("peers", text(status, "peers") + ", " + text(status, "remotes") + " remote prefixes");
  line("routing", text(status, "routing") + ", " + text(status, "tunnels") + " prefixes by the overlay");
  line("mtu", text(status, "pod_mtu") + " of new pods");
  const auto memory = status.find("memory");
  const auto resident = memory == status.end() ? 0 : whole_number(*memory, "rss_bytes");
  line("memory",
       readable_bytes(resident) + " resident, " + readable_bytes(whole_number(status, "map_bytes")) + " maps");
  for (const auto& missing : items(status, "missing"))
    line("missing", missing.is_string() ? missing.get<std::string>() : "");
  for (const auto& problem : items(status, "problems"))
    line("problem", problem.is_string() ? problem.get<std::string>() : "");
}

}  // namespace

Result<void> show_status(Agent& agent, Output output, std::ostream& out) {
  const auto status = agent.call("status");
  if (!status) return tl::make_unexpected(status.error());
  if (output == Output::json) {
    print_json(out, *status);
    return {};
  }
  print_summary(out, *status);
  out << '\n';
  print_list(out, items(*status, "uplinks"), {"UPLINK", "INDEX", "MTU", "XDP", "SERVICES"},
             {"name", "ifindex", "mtu", "xdp", "services"});
  out << '\n';
  constexpr std::uint64_t kUncountable = 1ULL << 62U;
  auto pools = items(*status, "pools");
  for (auto& pool : pools) {
    if (whole_number(pool, "capacity") >= kUncountable) pool["capacity"] = "unbounded";
  }
  print_list(out, pools, {"POOL", "TAKEN", "CAPACITY"}, {"prefix", "taken", "capacity"});
  out << '\n';
  std::vector<Json> programs = items(*status, "programs");
  for (auto& program : programs) program["owner"] = text(program, "ours") == "true" ? "netkite" : "foreign";
  print_list(out, programs, {"PROGRAM", "HOOK", "DEVICE", "ID", "LINK", "OWNER"},
             {"name", "hook", "device", "prog_id", "link_id", "owner"});
  out << '\n';
  print_list(out, items(*status, "maps"), {"MAP", "TYPE", "ENTRIES", "MAX", "BYTES"},
             {"name", "type", "entries", "max_entries", "bytes"});
  return {};
}

// "in 20 Mbit/s", "out 1 Gbit/s"
Json limits_of(const Json& endpoint) {
  Json limits = Json::array();
  const auto bandwidth = endpoint.find("bandwidth");
  if (bandwidth == endpoint.end() || !bandwidth->is_object()) return limits;
  for (const auto& [word, key] : {std::pair{"in ", "ingress_rate"}, std::pair{"out ", "egress_rate"}}) {
    if (const auto bits = whole_number(*bandwidth, key); bits != 0) limits.push_back(word + readable_rate(bits));
  }
  return limits;
}

Result<void> show_endpoints(Agent& agent, Output output, std::ostream& out) {
  const auto reply = fetch_all(agent, "endpoints", "endpoints");
  if (!reply) return tl::make_unexpected(reply.error());
  if (output == Output::json) {
    print_json(out, *reply);
    return {};
  }
  auto rows = items(*reply, "endpoints");
  for (auto& row : rows) {
    const std::string name = text(row, "pod_name");
    row["pod"] = name.empty() ? text(row, "container_id").substr(0, 12) : text(row, "pod_namespace") + "/" + name;
    row["limits"] = limits_of(row);
    Json labels = Json::array();
    const auto named = row.find("labels");
    if (named == row.end() || !named->is_object()) continue;
    for (const auto& [key, value] : named->items()) labels.push_back(key + "=" + text(*named, key));
    row["labels"] = std::move(labels);
  }
  print_list(out, rows, {"ID", "POD", "INTERFACE", "ADDRESSES", "DEVICE", "HOST", "STATE", "LIMITS", "LABELS"},
             {"id", "pod", "ifname", "addresses", "device", "host_ifname", "state", "limits", "labels"});
  return {};
}

Result<void> show_services(Agent& agent, Output output, std::ostream& out) {
  const auto reply = fetch_all(agent, "services", "services");
  if (!reply) return tl::make_unexpected(reply.error());
  if (output == Output::json) {
    print_json(out, *reply);
    return {};
  }
  auto rows = items(*reply, "services");
  for (auto& row : rows) {
    Json backends = Json::array();
    for (const auto& backend : items(row, "backends")) {
      const auto state = text(backend, "state");
      backends.push_back(place(backend, "address") + (state == "ready" ? "" : " (" + state + ")"));
    }
    if (const auto more = whole_number(row, "backends_total") - backends.size(); more > 0) {
      backends.push_back("and " + std::to_string(more) + " more");
    }
    row["frontend"] = place(row, "address") + "/" + text(row, "protocol");
    row["type"] = text(row, "type") + (text(row, "held") == "true" ? "" : " (another service has it)");
    row["backends"] = std::move(backends);
    if (text(row, "outside").empty()) row["outside"] = "-";
  }
  print_list(out, rows, {"SERVICE", "TYPE", "FRONTEND", "OUTSIDE", "BACKENDS"},
             {"service", "type", "frontend", "outside", "backends"});
  return {};
}

Result<void> show_drops(Agent& agent, Output output, std::ostream& out) {
  const auto reply = agent.call("drops");
  if (!reply) return tl::make_unexpected(reply.error());
  if (output == Output::json) {
    print_json(out, *reply);
  } else {
    print_list(out, items(*reply, "drops"), {"REASON", "PACKETS", "BYTES"}, {"reason", "packets", "bytes"});
  }
  return {};
}

Result<void> list_denied(Agent& agent, Output output, std::ostream& out) {
  const auto reply = fetch_all(agent, "prefilter_list", "prefixes");
  if (!reply) return tl::make_unexpected(reply.error());
  if (output == Output::json) {
    print_json(out, *reply);
  } else {
    print_list(out, items(*reply, "prefixes"), {"PREFIX", "PACKETS", "BYTES"}, {"prefix", "packets", "bytes"});
  }
  return {};
}

}  // namespace netkite::cli
