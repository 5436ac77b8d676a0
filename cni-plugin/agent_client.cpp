// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/agent_client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace netkite::cni {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// One more than a message may have tells a message that is too long.
std::array<char, wire::kMaxMessage + 1> receive_buffer;

microseconds time_left(Deadline deadline) {
  return std::max(std::chrono::duration_cast<microseconds>(deadline - Clock::now()), microseconds(0));
}

Result<void> set_send_timeout(int fd, Deadline deadline) {
  // Zero would mean "no timeout".
  const auto left = std::max(time_left(deadline), microseconds(1));
  const timeval value = {.tv_sec = left.count() / 1'000'000, .tv_usec = left.count() % 1'000'000};
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof(value)) != 0) return fail_errno(errno, "SO_SNDTIMEO");
  return {};
}

std::string at_socket(const std::string& path) { return "agent at socket " + path + " "; }

tl::unexpected<Error> not_connected(const std::string& path, int os_error) {
  const std::string reason = path + ": " + std::strerror(os_error);
  if (os_error == EACCES || os_error == EPERM)
    return fail(Code::denied, "no permission for the agent's socket " + reason);
  if (os_error == EAGAIN) return fail(Code::unavailable, at_socket(path) + "is busy: it takes no more connections");
  return fail(Code::unavailable,
              "agent is not running: socket " + reason + ": start netkite-agent, or correct agentSocket");
}

// Room for one descriptor beside a message.
struct FdMessage {
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};

  void attach(msghdr& message, int fd) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  }
};

}  // namespace

Result<AgentClient> AgentClient::connect(const std::string& socket_path, Deadline deadline) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno(errno, "open a Unix socket");
  // It bounds connect() too, which waits while the agent's backlog is full.
  if (auto set = set_send_timeout(fd.get(), deadline); !set) return tl::make_unexpected(set.error());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(address.sun_path)) return fail(Code::invalid, "agentSocket is too long");
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return not_connected(socket_path, errno);
  }
  return AgentClient(std::move(fd), socket_path);
}

Result<nlohmann::json> AgentClient::call(std::string_view op, nlohmann::json request, Deadline deadline, int fd) {
  if (auto sent = send(op, std::move(request), fd); !sent) return tl::make_unexpected(std::move(sent.error()));
  return receive(op, deadline);
}

Result<void> AgentClient::send(std::string_view op, nlohmann::json request, int fd) {
  if (!socket_.valid()) return hang_up(op, "was lost before");
  request["op"] = op;
  std::string text = request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > wire::kMaxMessage) {
    return fail(Code::invalid, "the request '" + std::string(op) + "' to the agent is larger than 64 KiB");
  }
  iovec part = {.iov_base = text.data(), .iov_len = text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  FdMessage descriptor;
  if (fd >= 0) descriptor.attach(message, fd);
  if (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) < 0) {
    return hang_up(op, errno == EAGAIN ? "takes no request" : std::strerror(errno));
  }
  return {};
}

Result<nlohmann::json> AgentClient::receive(std::string_view op, Deadline deadline) {
  if (!socket_.valid()) return hang_up(op, "was lost before");
  ssize_t size = -1;
  do {
    if (auto ready = wait_readable(deadline); !ready) return hang_up(op, ready.error().message);
    size = ::recv(socket_.get(), receive_buffer.data(), receive_buffer.size(), MSG_DONTWAIT);
  } while (size < 0 && (errno == EINTR || errno == EAGAIN));
  if (size < 0) return hang_up(op, std::strerror(errno));
  if (size == 0) return hang_up(op, "closed the connection");
  if (static_cast<std::size_t>(size) > wire::kMaxMessage) return hang_up(op, "answered more than 64 KiB");

  const std::string_view text(receive_buffer.data(), static_cast<std::size_t>(size));
  auto fields = wire::unpack_reply(text);
  if (fields || fields.error().code != Code::io) return fields;
  // Code::io may also be the agent's own word: then the reply is well-formed.
  const auto reply = nlohmann::json::parse(text, nullptr, false);
  if (reply.is_object() && reply.contains("error")) return fields;
  return hang_up(op, "answered nonsense: " + fields.error().message);
}

Result<void> AgentClient::wait_readable(Deadline deadline) const {
  for (;;) {
    pollfd entry = {.fd = socket_.get(), .events = POLLIN, .revents = 0};
    const auto left = std::chrono::ceil<milliseconds>(time_left(deadline));
    const int count = ::poll(&entry, 1, static_cast<int>(std::min<milliseconds::rep>(left.count(), 600'000)));
    if (count > 0) return {};
    if (count == 0 && time_left(deadline).count() == 0) return fail(Code::unavailable, "did not answer in time");
    if (count < 0 && errno != EINTR) return fail_errno(errno, "poll");
  }
}

tl::unexpected<Error> AgentClient::hang_up(std::string_view op, const std::string& problem) {
  socket_.reset();
  return fail(Code::unavailable, at_socket(path_) + problem + " (request '" + std::string(op) + "')");
}

}  // namespace netkite::cni
