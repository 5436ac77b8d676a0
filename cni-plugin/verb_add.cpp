// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <string>
#include <utility>

#include "cni-plugin/cni_args.hpp"
#include "cni-plugin/deferred_del.hpp"
#include "cni-plugin/pod_link.hpp"
#include "cni-plugin/pod_netns.hpp"
#include "cni-plugin/prev_result.hpp"
#include "cni-plugin/removal.hpp"
#include "cni-plugin/result.hpp"
#include "cni-plugin/verbs.hpp"
#include "common/base/rollback.hpp"

namespace netkite::cni {
namespace {

// Runtimes kill an ADD after two to four minutes; a hundred at once queue for the kernel's RTNL lock.
constexpr std::chrono::seconds kAddLimit(60);
constexpr std::chrono::seconds kUndoLimit(10);

// What is asked of the agent, and where the wishes in it came from.
struct Request {
  wire::PrepareRequest prepare;
  std::string wishes;  // "with runtimeConfig.ips 10.0.0.5", empty without any
};

void note_wish(std::string& wishes, const std::string& field, const std::string& value) {
  wishes.append(wishes.empty() ? " with " : ", ").append(field).append(" ").append(value);
}

Outcome<Request> make_request(const Call& call) {
  auto args = parse_cni_args(call.args.cni_args);
  if (!args) return tl::make_unexpected(args.error());
  Wishes wishes = call.conf.wishes;
  if (wishes.ips.empty()) {
    wishes.ips = args->ips;
    wishes.ips_field = "CNI_ARGS IP";
  }
  if (!wishes.mac) {
    wishes.mac = args->mac;
    wishes.mac_field = "CNI_ARGS MAC";
  }
  Request request;
  for (const Ip& ip : wishes.ips) note_wish(request.wishes, wishes.ips_field, ip.to_string());
  if (wishes.mac) note_wish(request.wishes, wishes.mac_field, wishes.mac->to_string());
  request.prepare = {.attachment = call.attachment(),
                     .netns = call.args.netns,
                     .requested_ips = std::move(wishes.ips),
                     .requested_mac = wishes.mac,
                     .pod_namespace = std::move(args->pod_namespace),
                     .pod_name = std::move(args->pod_name),
                     .pod_uid = std::move(args->pod_uid),
                     .stack_path = !wishes.port_mappings.empty() || call.conf.limits,
                     .port_mappings = std::move(wishes.port_mappings),
                     .bandwidth = call.conf.limits.has_value(),
                     .limits = call.conf.limits,
                     .device = call.conf.wishes.device};
  return request;
}

CniError refused_prepare(const Error& error, const Request& request) {
  CniError refusal = from_agent(error);
  const auto& [network, container_id, ifname] = request.prepare.attachment;
  if (error.code == Code::invalid && request.prepare.requested_mac) refusal.code = ErrorCode::unsupported_field;
  if (error.code == Code::exists && !request.prepare.requested_ips.empty()) refusal.code = ErrorCode::config;
  if (error.code == Code::not_found) refusal.code = ErrorCode::internal;
  if (error.code == Code::exists || error.code == Code::invalid) {
    refusal.message =
        "CNI_CONTAINERID " + container_id + ", CNI_IFNAME " + ifname + request.wishes + ": " + error.message;
  }
  return refusal;
}

Outcome<void> create(PodLink& link, const Call& call) {
  auto created = link.create();
  if (!created && created.error().code == Code::exists) {
    if (link.pod_ifname_taken()) {
      return refuse(ErrorCode::environment,
                    "CNI_IFNAME " + call.args.ifname + " exists already in CNI_NETNS " + call.args.netns);
    }
    // The host's end of a former life: the kernel takes devices of an ended namespace away in its own time. The agent
    // has just said that nobody lives under the name.
    created = delete_device(link.host_socket(), call.attachment());
    if (created) created = link.create();
  }
  if (!created) return tl::make_unexpected(from_kernel(created.error()));
  return {};
}

// Behind create(): programs first, then traffic.
Result<void> bring_to_life(PodLink& link, AgentClient& client, const Call& call) {
  if (auto done = link.configure(); !done) return done;
  const wire::CommitRequest commit = {
      .attachment = call.attachment(), .host_ifindex = link.host_ifindex(), .pod_ifindex = link.pod_ifindex()};
  auto committed = client.call("commit", wire::to_json(commit), call.started + kAddLimit);
  if (!committed) return tl::make_unexpected(std::move(committed.error()));
  return link.activate();
}

PodNetwork describe(const Call& call, const wire::PrepareReply& reply, const PodLink& link) {
  return {.host_ifname = reply.host_ifname,
          .pod_ifname = call.args.ifname,
          .netns = call.args.netns,
          .host_mac = reply.host_mac,
          .pod_mac = reply.pod_mac,
          .mtu = reply.mtu,
          .addresses = reply.addresses,
          .gateway4 = reply.gateway4,
          .gateway6 = reply.gateway6,
          .default4 = link.has_default(Family::v4),
          .default6 = link.has_default(Family::v6)};
}

void undo(const Call& call, AgentClient& client, netlink::Socket& host) {
  if (remove_with_agent(client, host, call.attachment(), Clock::now() + kUndoLimit)) return;
  // Perhaps it is the connection that failed, when the agent had committed already.
  if (remove_by_agent(call.conf.agent_socket, host, call.attachment(), Clock::now() + kUndoLimit)) return;
  // Without the agent the device is ours to delete; the agent drops its part when it starts.
  std::ignore = delete_device(host, call.attachment());
}

}  // namespace

Outcome<void> verb_add(const Call& call, Output& output) {
  auto request = make_request(call);
  if (!request) return tl::make_unexpected(request.error());
  const auto base = convert_prev_result(call.conf.prev_result, call.conf.version);
  if (!base) return tl::make_unexpected(base.error());
  auto netns = open_pod_netns(call.args.netns);
  if (!netns) return tl::make_unexpected(netns.error());

  auto client = AgentClient::connect(call.conf.agent_socket, call.started + kAddLimit);
  if (!client) return tl::make_unexpected(from_agent(client.error()));
  auto sent = client->send("prepare", wire::to_json(request->prepare), netns->get());
  if (!sent) return tl::make_unexpected(from_agent(sent.error()));
  // Opened while the agent works; when this fails, the end of the connection makes it give up the addresses.
  auto host = netlink::Socket::open();
  if (!host) return tl::make_unexpected(from_kernel(host.error()));
  auto pod = netlink::Socket::open_in(netns->get());
  if (!pod) return tl::make_unexpected(from_kernel(pod.error()));
  auto reply = client->receive_as<wire::PrepareReply>("prepare", call.started + kAddLimit);
  if (!reply) return tl::make_unexpected(refused_prepare(reply.error(), *request));

  PodLink link(std::move(*host), std::move(*pod),
               {.reply = *reply, .pod_ifname = call.args.ifname, .netns_fd = netns->get()});
  Rollback rollback;
  rollback.add([&] { undo(call, *client, link.host_socket()); });
  // A note of a DEL of an earlier life must not end this one.
  remove_note(call.conf.agent_socket, call.attachment());
  if (auto created = create(link, call); !created) return created;
  if (auto alive = bring_to_life(link, *client, call); !alive) return tl::make_unexpected(from_kernel(alive.error()));
  if (!output.write(make_result(describe(call, *reply, link), call.conf.version, *base, call.conf.dns))) {
    return refuse(ErrorCode::io, "the result cannot be written to standard output");
  }
  rollback.commit();
  return {};
}

}  // namespace netkite::cni
