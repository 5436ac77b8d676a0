// SPDX-License-Identifier: Apache-2.0
#include "agent/api/unix_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace netkite::api {
namespace {

constexpr int kBacklog = 512;
constexpr std::size_t kMaxDescriptors = 4;  // one is of use; the rest is room to notice more

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return fail_errno(ENAMETOOLONG, "socket " + path);
  path.copy(address.sun_path, path.size());
  return address;
}

// The casts of this file are here: sockaddr is the API's own type erasure.
const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

// Makes the path free to bind.
Result<void> clear_stale(const std::string& path, const sockaddr_un& address) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(errno, "socket " + path);
  }
  if (!S_ISSOCK(status.st_mode)) return fail(Code::exists, path + " exists and is no socket");
  const UniqueFd probe(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return fail_errno(errno, "socket");
  const bool answered = ::connect(probe.get(), generic(address), sizeof(address)) == 0;
  // A full backlog is a live listener, too.
  if (answered || errno == EAGAIN) return fail(Code::unavailable, "another agent answers on " + path);
  if (errno != ECONNREFUSED) return fail_errno(errno, "connect " + path);
  if (::unlink(path.c_str()) != 0) return fail_errno(errno, "unlink " + path);
  return {};
}

}  // namespace

Result<UniqueFd> listen_unix(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return tl::make_unexpected(address.error());
  if (auto cleared = clear_stale(path, *address); !cleared) return tl::make_unexpected(cleared.error());
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return fail_errno(errno, "socket");
  // Set before bind, the mode goes to the file: there is no moment at which others could connect.
  if (::fchmod(socket.get(), 0600) != 0) return fail_errno(errno, "fchmod " + path);
  if (::bind(socket.get(), generic(*address), sizeof(*address)) != 0) return fail_errno(errno, "bind " + path);
  if (::listen(socket.get(), kBacklog) != 0) return fail_errno(errno, "listen " + path);
  return socket;
}

Result<UniqueFd> accept_unix(int listener) {
  UniqueFd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) return fail_errno(errno == ECONNABORTED || errno == EINTR ? EAGAIN : errno, "accept");
  return socket;
}

Result<void> require_root_peer(int socket) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return fail_errno(errno, "SO_PEERCRED");
  if (peer.uid != 0) return fail(Code::denied, "only root may talk to the agent, not uid " + std::to_string(peer.uid));
  return {};
}

Result<Received> receive_message(int socket, std::span<char> buffer) {
  iovec data{.iov_base = buffer.data(), .iov_len = buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxDescriptors)> control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got < 0) {
    if (errno == ECONNRESET) return Received{};  // gone with replies of ours unread
    return fail_errno(errno, "recvmsg");
  }
  Received received;
  received.bytes = static_cast<std::size_t>(got);
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      received.descriptors.emplace_back(descriptor);
    }
  }
  received.truncated = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  return received;
}

Result<void> send_message(int socket, std::string_view message) {
  if (::send(socket, message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return fail_errno(errno, "send");
  return {};
}

}  // namespace netkite::api
