// SPDX-License-Identifier: Apache-2.0
// Asks for services as programs do, and says who answered and who it believes to talk with.
//   nk-socket serve PORT NAME                answers NAME over TCP and UDP on all addresses, until it is killed; with
//                                            NAME @: whom it sees, as ADDRESS/PORT
//   nk-socket talk HOW [6] [--from PORT] [--pause MS] [--patience MS]
//                                            one question a line of standard input, "ADDRESS PORT", and one line of
//                                            output: "NAME from ADDRESS PORT", or "error: REASON". HOW: tcp, a
//                                            connection each; udp, datagrams of one socket; connected, a connected UDP
//                                            socket each; flow, one of those for all, until an error ends it. 6:
//                                            sockets of IPv6, which also take ::ffff:a.b.c.d. --from: their own port.
//                                            --pause: so long between two of them. --patience: until there is no answer
//                                            (2000)
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iostream>
#include <string>
#include <thread>

#include "common/base/unique_fd.hpp"
#include "tests/tools/arguments.hpp"

namespace {

using netkite::UniqueFd;
using netkite::tools::die;

int patience_ms = 0;  // how long anybody waits for the other side

struct Address {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }

  static Address of(const std::string& text, const std::string& port) {
    Address address;
    const auto number = htons(static_cast<std::uint16_t>(netkite::tools::Arguments::to_number(port, "port")));
    auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
      v4.sin_family = AF_INET;
      v4.sin_port = number;
      address.length = sizeof(v4);
    } else if (::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
      v6.sin6_family = AF_INET6;
      v6.sin6_port = number;
      address.length = sizeof(v6);
    } else {
      die("no address: " + text, 2);
    }
    return address;
  }

  [[nodiscard]] std::string text() const {
    std::array<char, INET6_ADDRSTRLEN> buffer{};
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    const bool is_v6 = storage.ss_family == AF_INET6;
    const void* bytes = is_v6 ? static_cast<const void*>(&v6.sin6_addr) : &v4.sin_addr;
    return std::string(::inet_ntop(storage.ss_family, bytes, buffer.data(), buffer.size())) + " " +
           std::to_string(ntohs(is_v6 ? v6.sin6_port : v4.sin_port));
  }
};

std::string reason() { return std::string("error: ") + std::strerror(errno); }

// What comes from the socket, and from whom; datagrams say that themselves.
std::string answer(int fd, bool connected) {
  pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
  if (::poll(&wait, 1, patience_ms) == 0) return "error: no answer";
  std::array<char, 64> buffer{};
  Address from;
  const auto got = ::recvfrom(fd, buffer.data(), buffer.size(), 0, from.get(), &from.length);
  if (got < 0) return reason();
  if (connected) {
    from.length = sizeof(from.storage);
    if (::getpeername(fd, from.get(), &from.length) != 0) return reason();
  }
  return std::string(buffer.data(), static_cast<std::size_t>(got)) + " from " + from.text();
}

// With a port of its own, unless that is 0.
UniqueFd client_socket(int family, int type, std::uint16_t port) {
  UniqueFd fd(::socket(family, type, 0));
  if (port == 0) return fd;
  const int on = 1;
  auto from = Address::of(family == AF_INET6 ? "::" : "0.0.0.0", std::to_string(port));
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      ::bind(fd.get(), from.get(), from.length) != 0) {
    die("port " + std::to_string(port) + ": " + std::strerror(errno));
  }
  return fd;
}

std::string ask_connected(const UniqueFd& fd, Address to) {
  const timeval patience{.tv_sec = patience_ms / 1000, .tv_usec = patience_ms % 1000 * 1000};
  if (!fd.valid() || ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
      ::connect(fd.get(), to.get(), to.length) != 0 || ::send(fd.get(), "?", 1, MSG_NOSIGNAL) < 0) {
    return reason();
  }
  return answer(fd.get(), true);
}

// A connected socket once more.
std::string ask_again(int fd) { return ::send(fd, "?", 1, MSG_NOSIGNAL) < 0 ? reason() : answer(fd, true); }

std::string ask(int fd, Address to) {
  if (::sendto(fd, "?", 1, 0, to.get(), to.length) < 0) return reason();
  return answer(fd, false);
}

int talk(const std::string& how, bool only_v6, std::uint16_t from, std::chrono::milliseconds pause) {
  if (how != "tcp" && how != "udp" && how != "connected" && how != "flow")
    die("talk tcp, udp, connected or flow, not " + how, 2);
  UniqueFd datagrams;
  std::string address, port;
  while (std::cin >> address >> port) {
    const auto to = Address::of(address, port);
    const int family = only_v6 ? AF_INET6 : to.storage.ss_family;
    if (how == "udp") {
      if (!datagrams.valid()) datagrams = client_socket(family, SOCK_DGRAM, from);
      std::cout << ask(datagrams.get(), to) << std::endl;
    } else if (how == "flow") {
      const bool again = datagrams.valid();
      if (!again) datagrams = client_socket(family, SOCK_DGRAM, from);
      const auto said = again ? ask_again(datagrams.get()) : ask_connected(datagrams, to);
      std::cout << said << std::endl;
      if (said.starts_with("error")) datagrams = UniqueFd();
    } else {
      const auto socket = client_socket(family, how == "tcp" ? SOCK_STREAM : SOCK_DGRAM, from);
      std::cout << ask_connected(socket, to) << std::endl;
    }
    std::this_thread::sleep_for(pause);
  }
  return 0;
}

UniqueFd bound(int type, std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET6, type, 0));
  const int on = 1, off = 0;
  sockaddr_in6 everywhere{};
  everywhere.sin6_family = AF_INET6;
  everywhere.sin6_port = htons(port);
  if (!fd.valid() || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&everywhere), sizeof(everywhere)) != 0) {
    die("port " + std::to_string(port) + ": " + std::strerror(errno));
  }
  return fd;
}

// The name, or whom it is told to: without what IPv6 sockets put before an IPv4 address.
std::string told(const std::string& name, const Address& whom) {
  if (name != "@") return name;
  auto text = whom.text();
  if (text.starts_with("::ffff:")) text.erase(0, 7);
  text[text.find(' ')] = '/';
  return text;
}

int serve(std::uint16_t port, const std::string& name) {
  const auto streams = bound(SOCK_STREAM, port), datagrams = bound(SOCK_DGRAM, port);
  if (::listen(streams.get(), SOMAXCONN) != 0) die(reason());
  std::cout << "ready" << std::endl;
  std::array<pollfd, 2> waits{pollfd{.fd = streams.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = datagrams.get(), .events = POLLIN, .revents = 0}};
  while (::poll(waits.data(), waits.size(), -1) >= 0) {
    if (waits[0].revents != 0) {
      Address from;
      const UniqueFd client(::accept(streams.get(), from.get(), &from.length));
      char question = 0;
      const timeval patience{.tv_sec = patience_ms / 1000, .tv_usec = patience_ms % 1000 * 1000};
      // Unread, it would make the end of the connection a reset.
      if (client.valid() && ::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
          ::recv(client.get(), &question, 1, 0) == 1) {
        const auto text = told(name, from);
        static_cast<void>(::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL));
      }
    }
    if (waits[1].revents != 0) {
      std::array<char, 64> question{};
      Address from;
      if (::recvfrom(datagrams.get(), question.data(), question.size(), 0, from.get(), &from.length) < 0) continue;
      const auto text = told(name, from);
      static_cast<void>(::sendto(datagrams.get(), text.data(), text.size(), 0, from.get(), from.length));
    }
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const netkite::tools::Arguments arguments(argc - 1, argv + 1, {"--from", "--pause", "--patience"});
  const auto& verb = arguments.positional(0, "serve or talk");
  patience_ms = static_cast<int>(arguments.number("--patience", 2000));
  if (verb == "serve") {
    const auto port = netkite::tools::Arguments::to_number(arguments.positional(1, "PORT"), "PORT");
    return serve(static_cast<std::uint16_t>(port), arguments.positional(2, "NAME"));
  }
  if (verb == "talk") {
    const auto from = static_cast<std::uint16_t>(arguments.number("--from", 0));
    return talk(arguments.positional(1, "tcp, udp, connected or flow"), arguments.positionals() > 2, from,
                std::chrono::milliseconds(arguments.number("--pause", 0)));
  }
  die("unknown verb " + verb, 2);
}
