// SPDX-License-Identifier: Apache-2.0
#include "cli/agent.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "common/wire/agent_api.hpp"

namespace netkite::cli {
namespace {

constexpr timeval kPatience{.tv_sec = 10, .tv_usec = 0};

tl::unexpected<Error> connect_error(int os_error, const std::string& path) {
  if (os_error == ENOENT || os_error == ECONNREFUSED) {
    return fail(Code::unavailable, "no agent at " + path + ": is netkite-agent running?");
  }
  if (os_error == EACCES || os_error == EPERM) {
    return fail(Code::denied, "the agent's socket " + path + " is root's only: run as root");
  }
  return fail_errno(os_error, "connect to " + path);
}

}  // namespace

Result<Agent> Agent::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return fail(Code::invalid, "--socket: a path has 1 to " + std::to_string(sizeof(address.sun_path) - 1) + " bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno(errno, "open a socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return connect_error(errno, path);
  }
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (::setsockopt(socket.get(), SOL_SOCKET, option, &kPatience, sizeof(kPatience)) != 0) {
      return fail_errno(errno, "set a time limit on the agent's socket");
    }
  }
  return Agent(std::move(socket));
}

Result<std::string> Agent::receive() {
  std::string buffer(wire::kMaxMessage, '\0');
  ssize_t length = 0;
  do {
    length = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_TRUNC);
  } while (length < 0 && errno == EINTR);
  if (length < 0 && errno == EAGAIN) return fail(Code::unavailable, "the agent does not answer");
  if (length < 0 && errno != ECONNRESET) return fail_errno(errno, "receive from the agent");
  if (length <= 0) return fail(Code::unavailable, "the agent closed the connection");
  if (static_cast<std::size_t>(length) > buffer.size()) return fail(Code::io, "a message of the agent is too long");
  buffer.resize(static_cast<std::size_t>(length));
  return buffer;
}

Result<nlohmann::json> Agent::call(std::string_view op, nlohmann::json fields) {
  fields["op"] = op;
  const std::string request = fields.dump();
  if (::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    return fail_errno(errno, "send to the agent");
  }
  return next();
}

Result<nlohmann::json> Agent::next() {
  const auto message = receive();
  if (!message) return tl::make_unexpected(message.error());
  return wire::unpack_reply(*message);
}

}  // namespace netkite::cli
