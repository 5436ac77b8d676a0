// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/probe/socket.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "tests/tools/arguments.hpp"

namespace netkite::probe {

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void die_errno(const std::string& what) { tools::die(what + ": " + std::strerror(errno)); }

Ip parse_ip(const std::string& text) {
  const auto ip = Ip::parse(text);
  if (!ip) tools::die(ip.error().message, 2);
  return *ip;
}

Endpoint Endpoint::of(const std::string& address, const std::string& port) {
  const Ip ip = parse_ip(address);
  const auto number = htons(static_cast<std::uint16_t>(tools::Arguments::to_number(port, "port")));
  Endpoint endpoint;
  if (ip.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(endpoint.storage);
    v4.sin_port = number;
    std::memcpy(&v4.sin_addr, ip.bytes().data(), sizeof v4.sin_addr);
    endpoint.length = sizeof v4;
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(endpoint.storage);
    v6.sin6_port = number;
    std::memcpy(&v6.sin6_addr, ip.bytes().data(), sizeof v6.sin6_addr);
    endpoint.length = sizeof v6;
  }
  endpoint.storage.ss_family = static_cast<sa_family_t>(ip.af());
  return endpoint;
}

std::string address_text(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  if (address.ss_family == AF_INET6) bytes = &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  const std::string result = inet_ntop(address.ss_family, bytes, text.data(), text.size());
  return result.starts_with("::ffff:") ? result.substr(7) : result;
}

UniqueFd bound_socket(int type, const std::string& address, const std::string& port) {
  const Endpoint endpoint = Endpoint::of(address.empty() ? "::" : address, port);
  UniqueFd fd(socket(endpoint.get()->sa_family, type | SOCK_CLOEXEC, 0));
  if (!fd.valid()) die_errno("socket");
  const int on = 1;
  const int off = 0;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.empty()) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(fd.get(), endpoint.get(), endpoint.length) != 0) die_errno("bind port " + port);
  if (type == SOCK_STREAM && listen(fd.get(), 256) != 0) die_errno("listen on port " + port);
  return fd;
}

void set_timeout(int fd, double seconds) {
  timeval value{};
  value.tv_sec = static_cast<time_t>(seconds);
  value.tv_usec = static_cast<suseconds_t>((seconds - static_cast<double>(value.tv_sec)) * 1e6);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value);
}

UniqueFd connected_socket(int type, const Endpoint& endpoint, unsigned long timeout_s) {
  UniqueFd fd(socket(endpoint.get()->sa_family, type | SOCK_CLOEXEC, 0));
  if (!fd.valid()) die_errno("socket");
  set_timeout(fd.get(), static_cast<double>(timeout_s));
  const int on = 1;
  if (type == SOCK_STREAM) setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd.get(), endpoint.get(), endpoint.length) != 0) {
    // A connect that SO_SNDTIMEO ended says "in progress".
    if (errno == EINPROGRESS) errno = ETIMEDOUT;
    die_errno("connect to " + address_text(endpoint.storage));
  }
  return fd;
}

}  // namespace netkite::probe
