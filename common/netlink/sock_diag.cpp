// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/sock_diag.hpp"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace netkite::netlink {
namespace {

// An IPv6 socket has IPv4 addresses as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).
void write(__be32 (&words)[4], const Ip& address, bool v6) {
  auto* bytes = reinterpret_cast<std::byte*>(words);
  if (v6 && address.is_v4()) {
    words[2] = htonl(0xffff);
    bytes += sizeof(words) - sizeof(words[3]);
  }
  std::memcpy(bytes, address.bytes().data(), address.bytes().size());
}

}  // namespace

Result<bool> abort_udp(Socket& socket, const UdpSocket& udp) {
  inet_diag_req_v2 request{};
  request.sdiag_family = udp.v6 ? AF_INET6 : AF_INET;
  request.sdiag_protocol = IPPROTO_UDP;
  request.idiag_states = ~0U;
  write(request.id.idiag_src, udp.local, udp.v6);
  write(request.id.idiag_dst, udp.remote, udp.v6);
  request.id.idiag_sport = htons(udp.local_port);
  request.id.idiag_dport = htons(udp.remote_port);
  request.id.idiag_if = udp.ifindex;
  request.id.idiag_cookie[0] = static_cast<std::uint32_t>(udp.cookie);
  request.id.idiag_cookie[1] = static_cast<std::uint32_t>(udp.cookie >> 32);
  Message message(SOCK_DESTROY, 0);
  message.header(request);
  auto done = socket.request(message, "abort a UDP socket");
  if (done) return true;
  // Depending on the protocol either is said when the ports are another socket's.
  if (done.error().os_error == ENOENT || done.error().os_error == ESTALE) return false;
  return tl::make_unexpected(std::move(done.error()));
}

// A list of nothing.
Result<void> can_abort_udp(Socket& socket) {
  inet_diag_req_v2 request{};
  request.sdiag_family = AF_INET;
  request.sdiag_protocol = IPPROTO_UDP;
  Message message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
  message.header(request);
  auto done = socket.query(message, "list UDP sockets", [](const nlmsghdr&) {});
  if (done || done.error().os_error != ENOENT) return done;
  return fail(Code::unsupported, "the kernel has no udp_diag (CONFIG_INET_UDP_DIAG)");
}

}  // namespace netkite::netlink
