// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cli/agent.hpp"
#include "cli/check/check.hpp"
#include "cli/fields.hpp"
#include "common/netlink/route.hpp"

namespace netkite::cli {
namespace {

Result<nlohmann::json> ask_agent(const std::string& socket, std::string_view op) {
  auto agent = Agent::connect(socket);
  if (!agent) return tl::make_unexpected(agent.error());
  return agent->call(op);
}

// As the agent sees them, else the devices of the default routes.
std::vector<std::string> uplinks_of(const Result<nlohmann::json>& status, const std::vector<netlink::Link>& links,
                                    const std::vector<netlink::Route>& default_routes) {
  std::vector<std::string> names;
  if (status) {
    for (const auto& uplink : items(*status, "uplinks")) names.push_back(text(uplink, "name"));
    return names;
  }
  for (const auto& link : links) {
    const bool leads_out =
        std::ranges::find(default_routes, link.index, &netlink::Route::ifindex) != default_routes.end();
    if (leads_out && !link.loopback) names.push_back(link.name);
  }
  return names;
}

std::vector<netlink::Route> default_routes(netlink::Socket& socket) {
  auto routes = netlink::list_routes(socket).value_or(std::vector<netlink::Route>{});
  std::erase_if(routes, [](const auto& route) { return route.destination.length() != 0 || route.unreachable; });
  return routes;
}

void append(Findings& all, Findings more) { std::ranges::move(more, std::back_inserter(all)); }

}  // namespace

Findings check_node(const Arguments& arguments) {
  const auto status = ask_agent(arguments.socket, "status");
  std::vector<std::string> uplinks;
  std::vector<netlink::Link> devices;  // uplinks and pods'
  bool default6 = false;
  if (auto socket = netlink::Socket::open(); socket) {
    const auto links = netlink::list_links(*socket).value_or(std::vector<netlink::Link>{});
    const auto defaults = default_routes(*socket);
    uplinks = uplinks_of(status, links, defaults);
    default6 =
        std::ranges::any_of(defaults, [](const auto& route) { return route.destination.family() == Family::v6; });
    std::ranges::copy_if(links, std::back_inserter(devices), [&](const netlink::Link& link) {
      return link.name.starts_with("nk") || std::ranges::find(uplinks, link.name) != uplinks.end();
    });
  }
  Findings findings = check_kernel();
  append(findings, check_bpf(arguments.bpffs, devices));
  append(findings, check_network(uplinks, default6));
  findings.push_back(check_agent(status, ask_agent(arguments.socket, "cni_status")));
  findings.push_back(check_cni_config(arguments.cni_config_dir));
  findings.push_back(check_cni_plugin(arguments.cni_plugin_dir));
  if (!arguments.config.empty()) findings.push_back(check_config_file(arguments.config));
  return findings;
}

}  // namespace netkite::cli
