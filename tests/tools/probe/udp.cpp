// SPDX-License-Identifier: Apache-2.0
// Numbered datagrams: what is lost, doubled or reordered on the way, and for how long nothing arrived.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/tools/probe/probe.hpp"
#include "tests/tools/probe/socket.hpp"

namespace netkite::probe {
namespace {

// In the host's byte order: both ends are on one machine.
struct Datagram {
  std::uint64_t kind;
  std::uint64_t number;  // from 0; for kEnd: how many were sent
};
constexpr std::uint64_t kData = 0x6e6b2d64617461;
constexpr std::uint64_t kEnd = 0x6e6b2d656e64;
constexpr int kEndCopies = 5;

class Ledger {
 public:
  // False when the sender says that it is done.
  [[nodiscard]] bool take(const Datagram& datagram) {
    if (datagram.kind == kEnd) {
      sent_ = datagram.number;
      ended_ = true;
      return false;
    }
    if (datagram.kind != kData) return true;
    note_gap();
    if (datagram.number >= seen_.size()) {
      seen_.resize(datagram.number + 1);
    } else if (seen_[datagram.number]) {
      ++duplicates_;
      return true;
    } else {
      ++reordered_;
    }
    seen_[datagram.number] = true;
    ++distinct_;
    return true;
  }

  // The fields of a JSON object. Without the sender's own count, `lost` knows only of gaps before the last arrival.
  void print_fields() const {
    const std::uint64_t total = ended_ ? sent_ : seen_.size();
    std::printf(
        "\"received\":%lu,\"lost\":%lu,\"duplicates\":%lu,\"reordered\":%lu,\"max_gap_ms\":%.3f,\"complete\":%s",
        distinct_ + duplicates_, total - distinct_, duplicates_, reordered_, max_gap_ms_, ended_ ? "true" : "false");
  }

 private:
  void note_gap() {
    const auto now = Clock::now();
    if (distinct_ > 0) {
      max_gap_ms_ = std::max(max_gap_ms_, std::chrono::duration<double, std::milli>(now - last_).count());
    }
    last_ = now;
  }

  std::vector<bool> seen_;
  std::uint64_t distinct_ = 0, duplicates_ = 0, reordered_ = 0, sent_ = 0;
  bool ended_ = false;
  double max_gap_ms_ = 0;
  Clock::time_point last_;
};

// Takes what arrives within `wait` and all that is queued behind it. False at the sender's end mark.
bool drain(int fd, Ledger& ledger, std::chrono::milliseconds wait) {
  pollfd poller{.fd = fd, .events = POLLIN, .revents = 0};
  if (poll(&poller, 1, static_cast<int>(wait.count())) <= 0) return true;
  Datagram datagram{};
  for (;;) {
    const ssize_t got = recv(fd, &datagram, sizeof datagram, MSG_DONTWAIT);
    if (got < 0) return true;
    if (got == sizeof datagram && !ledger.take(datagram)) return false;
  }
}

}  // namespace

// udp-send ADDRESS PORT --rate PER_SECOND --seconds S [--echo yes]: with --echo the other side is `serve --udp`, and
// what comes back is counted as in udp-recv.
void udp_send(const Arguments& args) {
  const UniqueFd fd =
      connected_socket(SOCK_DGRAM, Endpoint::of(args.positional(0, "ADDRESS"), args.positional(1, "PORT")), 5);
  const unsigned long rate = args.number("--rate");
  const unsigned long total = rate * args.number("--seconds");
  const bool echo = args.find("--echo").has_value();
  Ledger ledger;
  unsigned long errors = 0;
  unsigned long sent = 0;
  const auto start = Clock::now();
  const auto send_one = [&](Datagram datagram) {
    // Sent or refused, it has its number: what does not arrive is lost.
    if (send(fd.get(), &datagram, sizeof datagram, 0) != sizeof datagram) ++errors;
  };
  for (; sent < total && !stop_requested; ++sent) {
    send_one({.kind = kData, .number = sent});
    const auto due = start + std::chrono::nanoseconds((sent + 1) * 1'000'000'000 / rate);
    if (echo) (void)drain(fd.get(), ledger, std::chrono::milliseconds(0));
    std::this_thread::sleep_until(due);
  }
  const double seconds = seconds_since(start);
  for (int i = 0; i < kEndCopies; ++i) send_one({.kind = kEnd, .number = sent});
  std::printf("{\"sent\":%lu,\"errors\":%lu,\"seconds\":%.3f", sent, errors, seconds);
  if (echo) {
    const auto deadline = Clock::now() + std::chrono::seconds(1);
    while (Clock::now() < deadline && drain(fd.get(), ledger, std::chrono::milliseconds(100))) continue;
    std::printf(",");
    ledger.print_fields();
  }
  std::printf("}\n");
}

// udp-recv PORT --seconds S [--bind ADDRESS]: until the sender's end mark, or for at most S seconds.
void udp_receive(const Arguments& args) {
  const UniqueFd fd = bound_socket(SOCK_DGRAM, args.find("--bind").value_or(""), args.positional(0, "PORT"));
  const int buffer = 8 * 1024 * 1024;
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  const auto limit = static_cast<double>(args.number("--seconds"));
  Ledger ledger;
  say_ready();
  const auto start = Clock::now();
  while (seconds_since(start) < limit && !stop_requested) {
    if (!drain(fd.get(), ledger, std::chrono::milliseconds(100))) break;
  }
  std::printf("{");
  ledger.print_fields();
  std::printf("}\n");
}

}  // namespace netkite::probe
