// SPDX-License-Identifier: Apache-2.0
// Ports of the node that lead to pods: whose work they are, and whether it can be done.
#include <algorithm>

#include "agent/config/check.hpp"
#include "agent/endpoint/manager.hpp"

namespace netkite::endpoint {
namespace {

constexpr std::size_t kMostPorts = 128;  // of one pod, so that all states of its row fit into kMaxRow

}  // namespace

bool Manager::serves_ports(const wire::PrepareRequest& request) const {
  return options_.services.host_ports && !request.port_mappings.empty();
}

bool Manager::keeps_limits(const wire::PrepareRequest& request) const {
  return options_.bandwidth.enabled && request.limits;
}

// Plugins behind ours may have work to do. A plugin of ours from before does not say which of them.
bool Manager::takes_stack(const wire::PrepareRequest& request) const {
  const bool unnamed = !request.bandwidth && request.port_mappings.empty();
  const bool mapped = !request.port_mappings.empty() && !serves_ports(request);
  const bool limited = request.bandwidth && !keeps_limits(request);
  return request.stack_path && (limited || mapped || unnamed);
}

Result<void> Manager::check_ports(const wire::PrepareRequest& request, const std::vector<Ip>& addresses) {
  if (!serves_ports(request)) return {};
  const auto& mappings = request.port_mappings;
  if (mappings.size() > kMostPorts) {
    return fail(Code::invalid, "portMappings: there are " + std::to_string(mappings.size()) +
                                   ", and services.host_ports serves at most " + std::to_string(kMostPorts) +
                                   " of a pod");
  }
  for (std::size_t i = 0; i < mappings.size(); ++i) {
    const auto& [host_ip, host_port, container_port, protocol] = mappings[i];
    const auto where = "portMappings[" + std::to_string(i) + "]";
    if (protocol == wire::Transport::sctp) {
      return fail(Code::invalid, where +
                                     ".protocol sctp: services.host_ports serves tcp and udp only; for others turn " +
                                     "it off and put the plugin portmap into the chain");
    }
    if (!host_ip) continue;
    const auto field = where + ".hostIP " + host_ip->to_string();
    if (std::ranges::find(addresses, host_ip->family(), &Ip::family) == addresses.end()) {
      return fail(Code::invalid, field + ": the pod has no address of this family");
    }
    if (host_ip->is_unspecified()) continue;
    if (!config::is_node_address(*host_ip)) {
      return fail(Code::invalid, field +
                                     ": loopback, link-local and multicast addresses are not served; leave it out " +
                                     "or name an address of the node that others reach it at");
    }
    const auto owns = host_->owns(*host_ip);
    if (!owns) return wrap(owns.error(), field);
    if (!*owns) return fail(Code::invalid, field + ": the node has no such address");
  }
  return {};
}

void Manager::follow_host_ports(PortsListener listener) {
  ports_listener_ = std::move(listener);
  for (const auto& [attachment, endpoint] : endpoints_) tell_ports(endpoint);
}

void Manager::tell_ports(const Endpoint& endpoint) const {
  if (ports_listener_ && !endpoint.host_ports.empty()) ports_listener_(endpoint);
}

}  // namespace netkite::endpoint
