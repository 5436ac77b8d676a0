// SPDX-License-Identifier: Apache-2.0
// Sockets of others, by sock_diag(7).
#pragma once

#include <cstdint>

#include "common/netlink/socket.hpp"

namespace netkite::netlink {

// A connected one.
struct UdpSocket {
  std::uint64_t cookie = 0;  // the kernel's name for it, never used twice (SO_COOKIE)
  Ip local{}, remote{};
  std::uint16_t local_port = 0, remote_port = 0;
  std::uint32_t ifindex = 0;  // that it is bound to, 0: none
  bool v6 = false;            // of AF_INET6; it may talk with an IPv4 address

  bool operator==(const UdpSocket&) const = default;
};

// Takes the connection away: whoever waits for a datagram gets ECONNABORTED, at once or when it next does, and whoever
// sends EDESTADDRREQ. False: it is not there any more, or not connected with `remote`. `socket`: of
// Socket::open(NETLINK_SOCK_DIAG), in the network namespace of the one to abort. Needs CONFIG_INET_DIAG_DESTROY.
[[nodiscard]] Result<bool> abort_udp(Socket& socket, const UdpSocket& udp);
// Without CONFIG_INET_UDP_DIAG (udp_diag) the kernel answers the above as if no socket were there: unsupported.
[[nodiscard]] Result<void> can_abort_udp(Socket& socket);

}  // namespace netkite::netlink
