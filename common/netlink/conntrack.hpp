// SPDX-License-Identifier: Apache-2.0
// Connections that netfilter tracks, and whose source it translates.
#pragma once

#include <functional>

#include "common/netlink/socket.hpp"

namespace netkite::netlink {

// ICMP echo has its identifier in the places of the ports.
struct Tracked {
  Ip source{}, destination{};  // of who began it, as he sends
  std::uint16_t source_port = 0, destination_port = 0;
  Ip seen_source{};  // as the destination sees him
  std::uint16_t seen_port = 0;
  std::uint8_t protocol = 0;
  bool open = false;  // TCP: established; other protocols: there has been an answer
};

// Only of sources that are `wanted`, only those that are sent to whom they were for, and only TCP, UDP and ICMP echo.
// `socket`: of Socket::open(NETLINK_NETFILTER).
[[nodiscard]] Result<std::vector<Tracked>> list_translated(Socket& socket,
                                                           const std::function<bool(const Ip&)>& wanted);

}  // namespace netkite::netlink
