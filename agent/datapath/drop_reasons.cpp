// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "agent/datapath/datapath.hpp"
#include "bpf/abi/netkite.h"

namespace netkite::datapath {

std::string_view drop_reason_name(std::uint32_t reason) {
  static constexpr std::array<std::string_view, NK_DROP_REASON_COUNT> kNames = [] {
    std::array<std::string_view, NK_DROP_REASON_COUNT> names{};
    names[NK_DROP_UNSPEC] = "unspecified";
    names[NK_DROP_MALFORMED] = "malformed";
    names[NK_DROP_UNSUPPORTED_L3] = "unsupported-l3";
    names[NK_DROP_UNKNOWN_DEVICE] = "unknown-device";
    names[NK_DROP_SPOOFED_SOURCE] = "spoofed-source";
    names[NK_DROP_LOOPBACK] = "loopback";
    names[NK_DROP_ROUTER_ADVERTISEMENT] = "router-advertisement";
    names[NK_DROP_REDIRECT] = "redirect";
    names[NK_DROP_NO_IPV4] = "no-ipv4";
    names[NK_DROP_NO_IPV6] = "no-ipv6";
    names[NK_DROP_UPLINK_SPOOF] = "uplink-spoof";
    names[NK_DROP_DENIED_PREFIX] = "denied-prefix";
    names[NK_DROP_SOURCE_ROUTE] = "source-route";
    names[NK_DROP_NOT_FOR_POD] = "not-for-pod";
    names[NK_DROP_UNSPECIFIED_SOURCE] = "unspecified-source";
    names[NK_DROP_OVERLAY_SPOOF] = "overlay-spoof";
    names[NK_DROP_OVERLAY_FOREIGN] = "overlay-foreign";
    names[NK_DROP_NO_BACKEND] = "no-backend";
    names[NK_DROP_SOURCE_RANGE] = "source-range";
    names[NK_DROP_CONNECTIONS_FULL] = "connections-full";
    names[NK_DROP_PORTS_EXHAUSTED] = "ports-exhausted";
    names[NK_DROP_NO_CONNECTION] = "no-connection";
    names[NK_DROP_UNREACHABLE_BACKEND] = "unreachable-backend";
    names[NK_DROP_HOP_LIMIT] = "hop-limit";
    names[NK_DROP_TOO_BIG] = "too-big";
    names[NK_DROP_BANDWIDTH] = "bandwidth";
    return names;
  }();
  return reason < kNames.size() ? kNames.at(reason) : "unknown";
}

}  // namespace netkite::datapath
