// SPDX-License-Identifier: Apache-2.0
// The node that the programs' tests play on, and how a row of their tables is checked.
//   10.0.0.1, fd00::1   the pod on kDevice; 10.0.0.8, fd00::8: its other address
//   10.0.0.2, fd00::2   a pod on an L2 device
//   10.0.0.3, fd00::3   a pod on a netkit device in L3 mode
//   10.0.0.4, fd00::4   a pod that takes the stack; 10.0.0.5, fd00::5: another one, on kDevice
//   10.0.0.6, fd00::6   a pod with programs behind ours
//   10.0.9.0/24, fd00:0:0:9::/64 and 192.0.2.9, 2001:db8::9: another node's pods and itself, by an uplink of MTU 1500
//   10.0.7.0/24, fd00:0:0:7::/64: the pods of 192.0.2.7, 2001:db8::7 and itself by the overlay, with room for 1450
//   bytes; 10.0.6.0/24: over IPv6
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "bpf/tests/program.hpp"

namespace netkite::bpf_tests {

// Verdicts, the same for netkit, tcx and filters.
inline constexpr int kNext = -1, kPass = 0, kDrop = 2, kRedirect = 7;
inline constexpr std::uint32_t kL2Device = 70, kL3Device = 71, kUplink = 9, kOverlayDevice = 10, kEndpointId = 42;
inline constexpr MacBytes kOverlayMac = NK_OVERLAY_MAC, kSenderMac = {2, 0x6e, 0x6b, 0, 0, 0};
inline constexpr MacBytes kPodMac = {2, 0, 0, 0, 0, 1}, kHostMac = {2, 0, 0, 0, 0, 2}, kNoMac = {};

constexpr nk_config config_of(bool netkit, bool after_hooks, bool overlay = false) {
  nk_config config{};
  config.netkit = netkit ? 1 : 0;
  config.after_hooks = after_hooks ? 1 : 0;
  config.fast_path = 1;
  if (overlay) {
    config.vni = 0x010203;
    config.vxlan_port = 0x1821;
  }
  return config;
}
inline constexpr nk_config kNetkit = config_of(true, false), kNetkitHooks = config_of(true, true);
inline constexpr nk_config kVeth = config_of(false, false), kVethHooks = config_of(false, true);
inline constexpr nk_config kOverlay = config_of(true, false, true), kOverlayHooks = config_of(false, true, true);
constexpr nk_config with_services(nk_config config) {
  config.services = 1;
  return config;
}
inline constexpr nk_config kServices = with_services(kNetkit), kServicesOverlay = with_services(kOverlay);
// With and without services: what a node may have both of.
constexpr nk_config with_masquerade(nk_config config) {
  config.masquerade = 1;
  return config;
}
inline constexpr nk_config kMasquerade = with_masquerade(kNetkit);
inline constexpr nk_config kMasqueradeOverlay = with_masquerade(kServicesOverlay);
constexpr nk_config with_bandwidth(nk_config config) {
  config.bandwidth = 1;
  return config;
}
inline constexpr nk_config kSlow = [] {
  nk_config config = kNetkit;
  config.fast_path = 0;
  return config;
}();

// Fills whichever of the maps the program has.
inline void furnish(const Program& program) {
  const nk_endpoint own{.ifindex = kDevice, .flags = 0, .pod_mac = {}, .host_mac = {}, .endpoint_id = kEndpointId};
  const nk_endpoint l2{.ifindex = kL2Device,
                       .flags = NK_EP_L2,
                       .pod_mac = {2, 0, 0, 0, 0, 1},
                       .host_mac = {2, 0, 0, 0, 0, 2},
                       .endpoint_id = 43};
  const nk_endpoint l3{.ifindex = kL3Device, .flags = 0, .pod_mac = {}, .host_mac = {}, .endpoint_id = 44};
  nk_endpoint own_on_stack = own, on_stack = l3, hooked = l3;
  hooked.flags = NK_EP_HOOKED;
  own_on_stack.flags = on_stack.flags = NK_EP_STACK;
  for (const auto* prefix : {"10.0.0.", "fd00::"}) {
    program.add_endpoint(std::string(prefix) + "1", own);
    program.add_endpoint(std::string(prefix) + "2", l2);
    program.add_endpoint(std::string(prefix) + "3", l3);
    program.add_endpoint(std::string(prefix) + "4", on_stack);
    program.add_endpoint(std::string(prefix) + "5", own_on_stack);
    program.add_endpoint(std::string(prefix) + "6", hooked);
    program.add_endpoint(std::string(prefix) + "8", own);
  }
  program.set_device(kDevice, {.flags = NK_EP_IPV4 | NK_EP_IPV6, .endpoint_id = kEndpointId});
  if (program.map("nk_tunnel4_v2") >= 0) {
    nk_tunnel tunnel{.way = {.ifindex = kUplink, .mtu = 1450, .nexthop_family = AF_INET, .nexthop = {{192, 0, 2, 254}}},
                     .device = kOverlayDevice,
                     .family = AF_INET,
                     .node = {{192, 0, 2, 7}},
                     .local = {{192, 0, 2, 1}},
                     .flags = 0};
    program.add_tunnel("10.0.7.0", 24, tunnel);
    program.add_tunnel("fd00:0:0:7::", 64, tunnel);
    tunnel.flags = NK_TUNNEL_NODE;
    program.add_tunnel("192.0.2.7", 32, tunnel);
    program.add_tunnel("2001:db8::7", 128, tunnel);
    tunnel.flags = 0;
    tunnel.family = AF_INET6;
    program.add_tunnel("10.0.6.0", 24, tunnel);
  }
  if (program.map("nk_remote4_v1") < 0) return;
  const nk_remote v4{.ifindex = kUplink, .mtu = 1500, .nexthop_family = AF_INET, .nexthop = {{192, 0, 2, 9}}};
  const nk_remote v6{.ifindex = kUplink, .mtu = 1500, .nexthop_family = AF_INET6, .nexthop = {{0x20, 1, 0xd, 0xb8}}};
  program.add_remote("10.0.9.0", 24, v4);
  program.add_remote("192.0.2.9", 32, v4);
  program.add_remote("fd00:0:0:9::", 64, v6);
  program.add_remote("2001:db8::9", 128, v6);
}

struct Case {
  std::string description;
  Bytes frame;
  int verdict = kPass;
  std::uint32_t reason = NK_DROP_UNSPEC;  // what must be counted, once and with the frame's bytes
  Bytes expected = {};                    // the frame afterwards; empty: as it was
  std::uint32_t gso_size = 0;
};

inline void check_once(const Program& program, const Case& row) {
  const auto before = program.drops();
  const auto outcome = program.run(row.frame, row.gso_size);
  ASSERT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.verdict, row.verdict);
  EXPECT_EQ(outcome.frame, row.expected.empty() ? row.frame : row.expected);
  std::vector<Drop> counted;
  if (row.reason != NK_DROP_UNSPEC) counted.push_back({.reason = row.reason, .packets = 1, .bytes = row.frame.size()});
  EXPECT_EQ(difference(before, program.drops()), counted);
}

// Each row three times: deciding anew, deciding and remembering, and by what is remembered.
inline void check(const Program& program, const Case& row) {
  SCOPED_TRACE(row.description);
  static std::uint64_t epoch = 0;
  program.set_epoch(0);
  check_once(program, row);
  program.set_epoch(++epoch);
  check_once(program, row);
  check_once(program, row);
}

inline void check(const Program& program, const std::vector<Case>& rows) {
  for (const auto& row : rows) check(program, row);
}

inline Bytes cut(const Bytes& frame, std::size_t length) {
  return {frame.begin(), frame.begin() + static_cast<long>(length)};
}

// A program of ours by its skeleton, on the node.
template <typename Skeleton>
struct OnNode {
  explicit OnNode(const nk_config& config, const Program* other = nullptr) : program(elf(), size(), config, other) {
    furnish(program);
  }
  static std::size_t size() {
    std::size_t bytes = 0;
    Skeleton::elf_bytes(&bytes);
    return bytes;
  }
  static const void* elf() {
    std::size_t bytes = 0;
    return Skeleton::elf_bytes(&bytes);
  }
  Program program;
};

inline void PrintTo(const Drop& drop, std::ostream* out) {
  *out << "reason " << drop.reason << " x " << drop.packets << " (" << drop.bytes << " bytes)";
}

}  // namespace netkite::bpf_tests
