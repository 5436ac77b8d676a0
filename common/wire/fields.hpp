// SPDX-License-Identifier: Apache-2.0
// The one description of every message's keys: writing and reading both walk it. Room-internal.
#pragma once

#include <concepts>
#include <type_traits>

#include "common/wire/agent_api.hpp"

namespace netkite::wire {

template <typename T, typename U>
concept Is = std::same_as<std::remove_const_t<T>, U>;

// Calls visit(key, member) for every member. Keys that a reader does not know are ignored, members that the message
// does not have keep their defaults, so that plugin and agent of neighbouring versions understand each other;
// invalid() below says which members a message must have.
template <typename Visitor>
void visit_fields(Visitor& visit, Is<Attachment> auto& value) {
  visit("network", value.network);
  visit("container_id", value.container_id);
  visit("ifname", value.ifname);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<Bandwidth> auto& value) {
  visit("ingress_rate", value.ingress_rate);
  visit("ingress_burst", value.ingress_burst);
  visit("egress_rate", value.egress_rate);
  visit("egress_burst", value.egress_burst);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<PrepareRequest> auto& value) {
  visit("attachment", value.attachment);
  visit("netns", value.netns);
  visit("requested_ips", value.requested_ips);
  visit("requested_mac", value.requested_mac);
  visit("pod_namespace", value.pod_namespace);
  visit("pod_name", value.pod_name);
  visit("pod_uid", value.pod_uid);
  visit("stack_path", value.stack_path);
  visit("port_mappings", value.port_mappings);
  visit("bandwidth", value.bandwidth);
  visit("limits", value.limits);
  visit("device", value.device);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<PrepareReply> auto& value) {
  visit("device", value.device);
  visit("host_ifname", value.host_ifname);
  visit("addresses", value.addresses);
  visit("mtu", value.mtu);
  visit("gso_max_size", value.gso_max_size);
  visit("gro_max_size", value.gro_max_size);
  visit("headroom", value.headroom);
  visit("scrub_none", value.scrub_none);
  visit("pod_mac", value.pod_mac);
  visit("host_mac", value.host_mac);
  visit("gateway4", value.gateway4);
  visit("gateway6", value.gateway6);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<CommitRequest> auto& value) {
  visit("attachment", value.attachment);
  visit("host_ifindex", value.host_ifindex);
  visit("pod_ifindex", value.pod_ifindex);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<RemoveRequest> auto& value) {
  visit("attachment", value.attachment);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<RemoveBeginReply> auto& value) {
  visit("known", value.known);
  visit("netns_inode", value.netns_inode);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<CheckReply> auto& value) {
  visit("attached", value.attached);
  visit("problem", value.problem);
  visit("device", value.device);
  visit("host_ifname", value.host_ifname);
  visit("host_ifindex", value.host_ifindex);
  visit("addresses", value.addresses);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<GcRequest> auto& value) {
  visit("network", value.network);
  visit("valid", value.valid);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<CniStatusReply> auto& value) {
  visit("ready", value.ready);
  visit("addresses_left", value.addresses_left);
  visit("message", value.message);
}

}  // namespace netkite::wire
