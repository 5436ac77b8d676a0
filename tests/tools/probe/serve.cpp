// SPDX-License-Identifier: Apache-2.0
// The other side of every measurement. A fixed set of threads accepts and serves with blocking calls: no polling and no
// thread creation between a packet and its answer.
#include <netinet/tcp.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <optional>
#include <thread>
#include <vector>

#include "tests/tools/probe/probe.hpp"
#include "tests/tools/probe/socket.hpp"

namespace netkite::probe {
namespace {

constexpr int kWorkers = 16;  // connections served at once
constexpr std::size_t kBuffer = 256UL * 1024;

void serve_connection(int fd, const sockaddr_storage& client, std::vector<char>& buffer) {
  char request = 0;
  if (read(fd, &request, 1) != 1) return;
  if (request == static_cast<char>(Request::seen_as)) {
    const std::string text = address_text(client);
    (void)!write(fd, text.data(), text.size());
    return;
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  for (;;) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got <= 0) return;
    if (request == static_cast<char>(Request::echo) && write(fd, buffer.data(), static_cast<std::size_t>(got)) != got) {
      return;
    }
  }
}

void accept_loop(int listener) {
  std::vector<char> buffer(kBuffer);
  for (;;) {
    sockaddr_storage client{};
    socklen_t length = sizeof client;
    const UniqueFd fd(accept4(listener, reinterpret_cast<sockaddr*>(&client), &length, SOCK_CLOEXEC));
    if (fd.valid()) serve_connection(fd.get(), client, buffer);
  }
}

void echo_datagrams(int fd) {
  std::array<char, 65536> buffer{};
  for (;;) {
    sockaddr_storage client{};
    socklen_t length = sizeof client;
    const ssize_t got = recvfrom(fd, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&client), &length);
    if (got < 0) continue;
    (void)!sendto(fd, buffer.data(), static_cast<std::size_t>(got), 0, reinterpret_cast<sockaddr*>(&client), length);
  }
}

}  // namespace

// serve [--tcp PORT] [--udp PORT] [--bind ADDRESS]: until SIGTERM.
void serve(const Arguments& args) {
  const auto tcp = args.find("--tcp");
  const auto udp = args.find("--udp");
  const std::string address = args.find("--bind").value_or("");
  if (!tcp && !udp) tools::die("serve needs --tcp PORT or --udp PORT", 2);
  // The threads never end: the sockets live as long as the process.
  if (tcp) {
    const int listener = bound_socket(SOCK_STREAM, address, *tcp).release();
    for (int i = 0; i < kWorkers; ++i) std::thread(accept_loop, listener).detach();
  }
  if (udp) std::thread(echo_datagrams, bound_socket(SOCK_DGRAM, address, *udp).release()).detach();
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
  say_ready();
  for (;;) pause();
}

}  // namespace netkite::probe
