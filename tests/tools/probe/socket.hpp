// SPDX-License-Identifier: Apache-2.0
// The few socket calls that the verbs share. A failure ends the process with one line.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "common/base/ip.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::probe {

using Clock = std::chrono::steady_clock;

[[nodiscard]] double seconds_since(Clock::time_point start);

// What the first byte of a TCP connection to `nk-probe serve` asks for. No byte at all: just close (connect).
enum class Request : char { echo = 'e', sink = 's', seen_as = 'w' };

struct Endpoint {
  sockaddr_storage storage{};
  socklen_t length = 0;

  [[nodiscard]] static Endpoint of(const std::string& address, const std::string& port);
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// A text that is no IP address ends the process.
[[nodiscard]] Ip parse_ip(const std::string& text);
[[nodiscard]] std::string address_text(const sockaddr_storage& address);

// "<what>: <reason of errno>", exit 1.
[[noreturn]] void die_errno(const std::string& what);

// A socket bound to address (empty: every address of both families) and port.
[[nodiscard]] UniqueFd bound_socket(int type, const std::string& address, const std::string& port);
// A connected socket whose calls give up after timeout_s seconds.
[[nodiscard]] UniqueFd connected_socket(int type, const Endpoint& endpoint, unsigned long timeout_s);
void set_timeout(int fd, double seconds);

}  // namespace netkite::probe
