// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "cni-plugin/pod_netns.hpp"
#include "cni-plugin/prev_result.hpp"
#include "cni-plugin/verbs.hpp"
#include "common/netlink/address.hpp"
#include "common/netlink/route.hpp"

namespace netkite::cni {
namespace {

constexpr std::chrono::seconds kCheckLimit(10);

tl::unexpected<CniError> differs(std::string message) { return refuse(ErrorCode::check_failed, std::move(message)); }

// MTU, MAC, queue lengths and the like are not compared: the plugins behind us may have changed them.
Outcome<void> check_device(const netlink::Link& link, const wire::CheckReply& agent) {
  const std::string kind = agent.device == wire::DeviceMode::veth ? "veth" : "netkit";
  if (link.kind != kind) return differs(link.name + " is of kind '" + link.kind + "', not '" + kind + "'");
  const std::uint32_t mode = agent.device == wire::DeviceMode::netkit ? 1 : 0;  // NETKIT_L3, NETKIT_L2
  if (link.netkit_mode && *link.netkit_mode != mode) {
    return differs(link.name + " is not in " + std::string(wire::to_string(agent.device)) + " mode");
  }
  if (link.peer_index != agent.host_ifindex) return differs(link.name + " is not the peer of the host's device");
  if (!link.up) return differs(link.name + " is down");
  if (!link.running) return differs(link.name + " has no carrier: the host's end is down");
  return {};
}

Outcome<void> check_addresses(netlink::Socket& pod, const netlink::Link& link, const std::vector<Ip>& expected) {
  auto present = netlink::list_addresses(pod, link.index);
  if (!present) return tl::make_unexpected(from_kernel(present.error()));
  for (const Ip& address : expected) {
    const bool found = std::any_of(present->begin(), present->end(),
                                   [&address](const netlink::Address& each) { return each.address == address; });
    if (!found) return differs(link.name + " lacks the address " + address.to_string() + " of prevResult.ips");
  }
  return {};
}

Outcome<void> check_routes(netlink::Socket& pod, const Expected& expected) {
  if (!expected.default4 && !expected.default6) return {};
  auto routes = netlink::list_routes(pod);
  if (!routes) return tl::make_unexpected(from_kernel(routes.error()));
  const auto has_default = [&routes](Family family) {
    return std::any_of(routes->begin(), routes->end(), [family](const netlink::Route& route) {
      return route.destination.length() == 0 && route.destination.family() == family && !route.unreachable;
    });
  };
  if (expected.default4 && !has_default(Family::v4))
    return differs("the route 0.0.0.0/0 of prevResult.routes is missing");
  if (expected.default6 && !has_default(Family::v6)) return differs("the route ::/0 of prevResult.routes is missing");
  return {};
}

Outcome<void> check_pod(netlink::Socket& pod, const Call& call, const Expected& expected,
                        const wire::CheckReply& agent) {
  auto link = netlink::get_link(pod, call.args.ifname);
  if (!link && link.error().code == Code::not_found) {
    return differs("CNI_IFNAME " + call.args.ifname + " is missing in CNI_NETNS " + call.args.netns);
  }
  if (!link) return tl::make_unexpected(from_kernel(link.error()));
  if (auto checked = check_device(*link, agent); !checked) return checked;
  if (auto checked = check_addresses(pod, *link, expected.addresses); !checked) return checked;
  return check_routes(pod, expected);
}

}  // namespace

Outcome<void> verb_check(const Call& call) {
  if (call.conf.prev_result.is_null()) {
    return refuse(ErrorCode::config, "prevResult is missing: CHECK compares with the result of ADD");
  }
  const auto expected = read_expected(call.conf.prev_result, call.args.ifname);
  if (!expected) return tl::make_unexpected(expected.error());
  const auto host_ifname = wire::host_ifname(call.attachment());
  if (std::ranges::find(expected->host_interfaces, host_ifname) == expected->host_interfaces.end()) {
    return refuse(ErrorCode::config, "prevResult.interfaces does not list the host's device " + host_ifname);
  }
  auto netns = open_pod_netns(call.args.netns);
  if (!netns) return tl::make_unexpected(netns.error());

  const Deadline deadline = call.started + kCheckLimit;
  auto client = AgentClient::connect(call.conf.agent_socket, deadline);
  if (!client) return tl::make_unexpected(from_agent(client.error()));
  auto sent = client->send("check", wire::to_json(wire::RemoveRequest{.attachment = call.attachment()}));
  if (!sent) return tl::make_unexpected(from_agent(sent.error()));
  auto pod = netlink::Socket::open_in(netns->get());
  if (!pod) return tl::make_unexpected(from_kernel(pod.error()));
  auto agent = client->receive_as<wire::CheckReply>("check", deadline);
  if (!agent) return tl::make_unexpected(from_agent(agent.error()));
  if (!agent->problem.empty()) return differs(agent->problem);
  if (!agent->attached) return differs("programs are not attached to the host's device " + host_ifname);
  return check_pod(*pod, call, *expected, *agent);
}

}  // namespace netkite::cni
