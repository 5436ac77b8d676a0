// SPDX-License-Identifier: Apache-2.0
// Clients of `nk-probe serve`.
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "tests/tools/probe/probe.hpp"
#include "tests/tools/probe/socket.hpp"
#include "tests/tools/statistics.hpp"

namespace netkite::probe {
namespace {

constexpr unsigned long kTimeout = 5;  // seconds without progress

Endpoint target(const Arguments& args) {
  return Endpoint::of(args.positional(0, "ADDRESS"), args.positional(1, "PORT"));
}

UniqueFd open_connection(const Arguments& args, Request request) {
  UniqueFd fd = connected_socket(SOCK_STREAM, target(args), args.number("--timeout", kTimeout));
  if (write(fd.get(), &request, 1) != 1) die_errno("write");
  return fd;
}

// --protocol udp or tcp, the default.
bool by_udp(const Arguments& args) {
  const std::string protocol = args.find("--protocol").value_or("tcp");
  if (protocol != "tcp" && protocol != "udp") tools::die("--protocol is tcp or udp, not " + protocol, 2);
  return protocol == "udp";
}

UniqueFd client_of_echo(const Arguments& args) {
  return by_udp(args) ? connected_socket(SOCK_DGRAM, target(args), args.number("--timeout", kTimeout))
                      : open_connection(args, Request::echo);
}

// A server's socket in the network namespace of that file; the caller stays in its own.
UniqueFd bound_in(const std::string& netns, int type, const std::string& port) {
  const UniqueFd here(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  const UniqueFd there(open(netns.c_str(), O_RDONLY | O_CLOEXEC));
  if (!there.valid() || setns(there.get(), CLONE_NEWNET) != 0) die_errno("--server " + netns);
  UniqueFd fd = bound_socket(type, "", port);
  if (setns(here.get(), CLONE_NEWNET) != 0) die_errno("setns");
  return fd;
}

// Runs `step` count times after a warm-up of a tenth of that, and prints the distribution of its duration.
template <typename Step>
void measure(unsigned long count, const Step& step) {
  for (unsigned long i = 0; i < count / 10 + 1; ++i) step();
  std::vector<double> samples;
  samples.reserve(count);
  auto before = Clock::now();
  for (unsigned long i = 0; i < count; ++i) {
    step();
    const auto now = Clock::now();
    samples.push_back(std::chrono::duration<double, std::micro>(now - before).count());
    before = now;
  }
  const auto summary = tools::Summary::of(std::move(samples));
  std::printf("{\"count\":%lu,\"p50_us\":%.2f,\"p99_us\":%.2f,\"mean_us\":%.2f}\n", count, summary.p50, summary.p99,
              summary.mean);
}

}  // namespace

// rtt ADDRESS PORT --count N [--protocol udp]: one byte there and back, on one connection.
void rtt(const Arguments& args) {
  const UniqueFd fd = client_of_echo(args);
  measure(args.number("--count"), [&] {
    char byte = 'x';
    if (write(fd.get(), &byte, 1) != 1) die_errno("write");
    if (read(fd.get(), &byte, 1) != 1) die_errno("read");
  });
}

// path ADDRESS PORT --server NETNS-FILE [--listen PORT] --count N [--protocol udp]: the same where one thread has both
// ends, the server's in that namespace: what the way costs, without waking and switching between two processes.
void path(const Arguments& args) {
  const std::string port = args.find("--listen").value_or(args.positional(1, "PORT"));
  UniqueFd server = bound_in(args.get("--server"), by_udp(args) ? SOCK_DGRAM : SOCK_STREAM, port);
  set_timeout(server.get(), static_cast<double>(args.number("--timeout", kTimeout)));
  const UniqueFd client = client_of_echo(args);
  if (!by_udp(args)) {
    const int on = 1;
    char request = 0;
    server = UniqueFd(accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!server.valid() || read(server.get(), &request, 1) != 1) die_errno("accept");
    setsockopt(server.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  measure(args.number("--count"), [&] {
    char byte = 'x';
    sockaddr_storage asker{};
    socklen_t length = sizeof asker;  // 0 afterwards where there is a connection
    if (write(client.get(), &byte, 1) != 1) die_errno("write");
    if (recvfrom(server.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&asker), &length) != 1) die_errno("recvfrom");
    if (sendto(server.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&asker), length) != 1) die_errno("sendto");
    if (read(client.get(), &byte, 1) != 1) die_errno("read");
  });
}

// connect ADDRESS PORT --count N: a whole connection, from the first packet until both sides have closed.
void connect_close(const Arguments& args) {
  const Endpoint endpoint = target(args);
  const unsigned long timeout = args.number("--timeout", kTimeout);
  measure(args.number("--count"), [&] {
    const UniqueFd fd = connected_socket(SOCK_STREAM, endpoint, timeout);
    char byte = 0;
    if (shutdown(fd.get(), SHUT_WR) != 0) die_errno("shutdown");
    if (read(fd.get(), &byte, 1) != 0) die_errno("read");
  });
}

// beat ADDRESS PORT --rate PER_SECOND --seconds S: numbers there and back on one connection, each after the other's
// return. Until SIGTERM or for S seconds; a connection that breaks, or returns another number, is a failure.
void beat(const Arguments& args) {
  const UniqueFd fd = open_connection(args, Request::echo);
  const unsigned long rate = args.number("--rate");
  const auto limit = static_cast<double>(args.number("--seconds"));
  unsigned long beats = 0;
  const auto start = Clock::now();
  for (; seconds_since(start) < limit && !stop_requested; ++beats) {
    unsigned long back = 0;
    if (send(fd.get(), &beats, sizeof beats, MSG_NOSIGNAL) != sizeof beats) die_errno("write");
    const ssize_t got = recv(fd.get(), &back, sizeof back, MSG_WAITALL);
    if (got < 0 && errno == EINTR && stop_requested) break;
    if (got < 0) die_errno("read");
    if (got != sizeof back || back != beats) tools::die("beat " + std::to_string(beats) + " came back as another");
    std::this_thread::sleep_until(start + std::chrono::nanoseconds((beats + 1) * 1'000'000'000 / rate));
  }
  std::printf("{\"beats\":%lu,\"seconds\":%.3f}\n", beats, seconds_since(start));
}

// stream ADDRESS PORT --bytes N | --seconds S [--pace BYTES-PER-SECOND]: until the other side has read everything.
void stream(const Arguments& args) {
  const UniqueFd fd = open_connection(args, Request::sink);
  if (const unsigned long pace = args.number("--pace", 0); pace != 0) {
    if (setsockopt(fd.get(), SOL_SOCKET, SO_MAX_PACING_RATE, &pace, sizeof pace) != 0) die_errno("SO_MAX_PACING_RATE");
  }
  const auto limit = args.find("--bytes") ? args.number("--bytes") : ~0UL;
  const auto duration = limit == ~0UL ? static_cast<double>(args.number("--seconds")) : 1e9;
  const std::vector<char> chunk(128UL * 1024, 'x');
  unsigned long sent = 0;
  const auto start = Clock::now();
  while (sent < limit && seconds_since(start) < duration && !stop_requested) {
    const ssize_t done = write(fd.get(), chunk.data(), std::min(chunk.size(), limit - sent));
    if (done <= 0) die_errno("write");
    sent += static_cast<unsigned long>(done);
  }
  char byte = 0;
  if (shutdown(fd.get(), SHUT_WR) != 0) die_errno("shutdown");
  if (read(fd.get(), &byte, 1) != 0) die_errno("the other side did not read everything");
  const double seconds = seconds_since(start);
  std::printf("{\"bytes\":%lu,\"seconds\":%.6f,\"gbit_s\":%.4f}\n", sent, seconds,
              static_cast<double>(sent) * 8e-9 / seconds);
}

// seen-as ADDRESS PORT: the address under which the other side sees this one (to prove or refute masquerading).
void seen_as(const Arguments& args) {
  const UniqueFd fd = open_connection(args, Request::seen_as);
  std::array<char, 64> text{};
  std::size_t length = 0;
  for (ssize_t got = 0; length < text.size(); length += static_cast<std::size_t>(got)) {
    got = read(fd.get(), text.data() + length, text.size() - length);
    if (got < 0) die_errno("read");
    if (got == 0) break;
  }
  std::printf("{\"address\":\"%.*s\"}\n", static_cast<int>(length), text.data());
}

}  // namespace netkite::probe
