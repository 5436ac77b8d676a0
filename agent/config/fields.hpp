// SPDX-License-Identifier: Apache-2.0
// The one description of the configuration's keys, names and bounds. The loader and the dump both walk it, so a member
// that is listed here is read, checked, printed and suggested for misspelt keys without further work.
// Room-internal: include loader.hpp instead.
#pragma once

#include <array>
#include <concepts>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

#include "agent/config/options.hpp"

namespace netkite::config {

// Inclusive bounds of a number.
struct Range {
  std::uint32_t min = 0;
  std::uint32_t max = std::numeric_limits<std::uint32_t>::max();
};

template <typename T, typename U>
concept Is = std::same_as<std::remove_const_t<T>, U>;

// Words of an enumeration as the file spells them.
template <typename E>
using Name = std::pair<std::string_view, E>;

template <typename E>
inline constexpr std::array<Name<E>, 0> kNames{};
template <>
inline constexpr auto kNames<Device> = std::to_array<Name<Device>>({{"auto", Device::automatic},
                                                                    {"netkit", Device::netkit},
                                                                    {"netkit-l2", Device::netkit_l2},
                                                                    {"veth", Device::veth}});
template <>
inline constexpr auto kNames<Compile> = std::to_array<Name<Compile>>(
    {{"auto", Compile::automatic}, {"embedded", Compile::embedded}, {"clang", Compile::clang}});
template <>
inline constexpr auto kNames<Position> =
    std::to_array<Name<Position>>({{"first", Position::first}, {"last", Position::last}});
template <>
inline constexpr auto kNames<XdpMode> = std::to_array<Name<XdpMode>>(
    {{"auto", XdpMode::automatic}, {"native", XdpMode::native}, {"generic", XdpMode::generic}, {"off", XdpMode::off}});
template <>
inline constexpr auto kNames<ServicesXdp> =
    std::to_array<Name<ServicesXdp>>({{"auto", ServicesXdp::automatic}, {"off", ServicesXdp::off}});
template <>
inline constexpr auto kNames<Routing> = std::to_array<Name<Routing>>(
    {{"native", Routing::native}, {"overlay", Routing::overlay}, {"auto", Routing::automatic}});
template <>
inline constexpr auto kNames<MasqueradeMode> =
    std::to_array<Name<MasqueradeMode>>({{"nftables", MasqueradeMode::nftables}, {"bpf", MasqueradeMode::bpf}});
template <>
inline constexpr auto kNames<HookPoint> = std::to_array<Name<HookPoint>>({{"pod-egress", HookPoint::pod_egress},
                                                                          {"pod-ingress", HookPoint::pod_ingress},
                                                                          {"uplink-ingress", HookPoint::uplink_ingress},
                                                                          {"uplink-egress", HookPoint::uplink_egress}});
template <>
inline constexpr auto kNames<HookOrder> =
    std::to_array<Name<HookOrder>>({{"before", HookOrder::before}, {"after", HookOrder::after}});

// Empty: no enumerator.
template <typename E>
constexpr std::string_view name_of(E value) {
  for (const auto& [name, enumerator] : kNames<E>) {
    if (enumerator == value) return name;
  }
  return {};
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<Peer> auto& peer) {
  visit("name", peer.name);
  visit("addresses", peer.addresses);
  visit("pod_ranges", peer.pod_ranges);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<Masquerade> auto& masquerade) {
  visit("enabled", masquerade.enabled);
  visit("mode", masquerade.mode);
  visit("except", masquerade.except);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<Overlay> auto& overlay) {
  visit("port", overlay.port, Range{1, 65535});
  visit("vni", overlay.vni, Range{1, (1U << 24) - 1});
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<Hook> auto& hook) {
  visit("name", hook.name);
  visit("source", hook.source);
  visit("object", hook.object);
  visit("program", hook.program);
  visit("attach", hook.attach);
  visit("order", hook.order);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<Datapath> auto& datapath) {
  visit("compile", datapath.compile);
  visit("source_dir", datapath.source_dir);
  visit("cache_dir", datapath.cache_dir);
  visit("expedite_rcu", datapath.expedite_rcu);
  visit("position", datapath.position);
  visit("max_endpoints", datapath.max_endpoints, Range{1, 65536});
  visit("max_remotes", datapath.max_remotes, Range{1, 1U << 20});
  visit("event_buffer", datapath.event_buffer, Range{4096, 1U << 26});
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<Prefilter> auto& prefilter) {
  visit("mode", prefilter.mode);
  visit("max_prefixes", prefilter.max_prefixes, Range{1, 1U << 24});
  visit("deny", prefilter.deny);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<Services> auto& services) {
  visit("enabled", services.enabled);
  visit("cgroup", services.cgroup);
  visit("host_ports", services.host_ports);
  visit("external_ips", services.external_ips);
  visit("max_frontends", services.max_frontends, Range{1, 1U << 20});
  visit("max_backends", services.max_backends, Range{1, 1U << 22});
  visit("max_connections", services.max_connections, Range{1, 1U << 22});
  visit("first_port", services.first_port, Range{1024, 65535});
  visit("last_port", services.last_port, Range{1024, 65535});
  visit("xdp", services.xdp);
  visit("maglev", services.maglev);
  visit("dsr", services.dsr);
  visit("healthz_port", services.healthz_port, Range{0, 65535});
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<Bandwidth> auto& bandwidth) {
  visit("enabled", bandwidth.enabled);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<Kubernetes> auto& kubernetes) {
  visit("enabled", kubernetes.enabled);
  visit("manifests", kubernetes.manifests);
  visit("kubeconfig", kubernetes.kubeconfig);
  visit("server", kubernetes.server);
  visit("report_ready", kubernetes.report_ready);
}

template <typename Visitor>
void visit_fields(Visitor& visit, Is<Options> auto& options) {
  visit("node_name", options.node_name);
  visit("log_level", options.log_level);
  visit("run_dir", options.run_dir);
  visit("socket", options.socket);
  visit("bpffs", options.bpffs);
  visit("sysctl_dir", options.sysctl_dir);
  visit("device", options.device);
  visit("pools", options.pools);
  visit("peers", options.peers);
  visit("kubernetes", options.kubernetes);
  visit("routing", options.routing);
  visit("overlay", options.overlay);
  visit("uplinks", options.uplinks);
  visit("mtu", options.mtu, Range{0, 65535});
  visit("manage_forwarding", options.manage_forwarding);
  visit("masquerade", options.masquerade);
  visit("datapath", options.datapath);
  visit("prefilter", options.prefilter);
  visit("services", options.services);
  visit("bandwidth", options.bandwidth);
  visit("hooks", options.hooks);
  visit("http_port", options.http_port, Range{0, 65535});
}

}  // namespace netkite::config
