// SPDX-License-Identifier: Apache-2.0
// The maps of bpf/lib by name, and our programs as the kernel knows them. Room-internal.
#pragma once

#include <array>
#include <string_view>

namespace netkite::datapath {

inline constexpr std::string_view kEndpoints4 = "nk_ep4_v1";
inline constexpr std::string_view kEndpoints6 = "nk_ep6_v1";
inline constexpr std::string_view kDevices = "nk_dev_v1";
inline constexpr std::string_view kRemotes4 = "nk_remote4_v1";
inline constexpr std::string_view kRemotes6 = "nk_remote6_v1";
inline constexpr std::string_view kTunnels4 = "nk_tunnel4_v2";
inline constexpr std::string_view kTunnels6 = "nk_tunnel6_v2";
inline constexpr std::string_view kEpoch = "nk_epoch_v1";
inline constexpr std::string_view kGuard = "nk_guard_v1";
inline constexpr std::string_view kDeny4 = "nk_deny4_v1";
inline constexpr std::string_view kDeny6 = "nk_deny6_v1";
inline constexpr std::string_view kFrontends = "nk_frontend_v1";
inline constexpr std::string_view kSlots = "nk_slot_v1";
inline constexpr std::string_view kBackends = "nk_backend_v1";
inline constexpr std::string_view kAffinity = "nk_affinity_v1";
inline constexpr std::string_view kSockets = "nk_socket_v1";
inline constexpr std::string_view kEntrances = "nk_entrance_v1";
inline constexpr std::string_view kRanges = "nk_range_v1";
inline constexpr std::string_view kMaglev = "nk_maglev_v1";
inline constexpr std::string_view kClients = "nk_client_v1";
inline constexpr std::string_view kConnections = "nk_ct_v1";
inline constexpr std::string_view kSelf = "nk_self_v1";
inline constexpr std::string_view kFragments = "nk_fragment_v2";
inline constexpr std::string_view kExits = "nk_exit_v1";
inline constexpr std::string_view kUnmasked = "nk_unmasked_v1";
inline constexpr std::string_view kUplinks = "nk_uplink_v1";
inline constexpr std::string_view kPaces = "nk_pace_v1";
inline constexpr std::string_view kDrops = "nk_drops_v1";
inline constexpr std::string_view kControl = "nk_control_v1";
inline constexpr std::string_view kEvents = "nk_events_v1";

// What releases before this one have pinned.
inline constexpr std::array<std::string_view, 3> kFormerMaps = {"nk_tunnel4_v1", "nk_tunnel6_v1", "nk_fragment_v1"};
// Maps that a node without services has not.
inline constexpr std::array kServiceMaps = {kFrontends, kSlots,  kBackends, kAffinity, kSockets,
                                            kEntrances, kRanges, kMaglev,   kClients,  kUplinks};
// One whose programs do not masquerade.
inline constexpr std::array kMasqueradeMaps = {kExits, kUnmasked};
// One whose programs translate nothing.
inline constexpr std::array kConnectionMaps = {kConnections, kSelf, kFragments};
// One whose programs limit nothing.
inline constexpr std::array kBandwidthMaps = {kPaces};

}  // namespace netkite::datapath
