// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>

#include "cli/commands.hpp"
#include "cli/fields.hpp"
#include "cli/table.hpp"

namespace netkite::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

// SIGINT and SIGTERM as something to poll, for as long as it lives.
class Interrupts {
 public:
  Interrupts() {
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &wanted, &former_);
    fd_ = UniqueFd(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  ~Interrupts() {
    signalfd_siginfo taken;
    while (read(fd_.get(), &taken, sizeof(taken)) > 0) continue;  // it has done its work: not for the former mask
    pthread_sigmask(SIG_SETMASK, &former_, nullptr);
  }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  sigset_t former_{};
  UniqueFd fd_;
};

std::uint64_t nanoseconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

// The event's time on the wall clock, "14:03:07.123".
std::string wall_time(std::uint64_t monotonic_ns) {
  const std::uint64_t wall = nanoseconds(CLOCK_REALTIME) - (nanoseconds(CLOCK_MONOTONIC) - monotonic_ns);
  const auto seconds = static_cast<std::time_t>(wall / 1'000'000'000U);
  std::tm local{};
  localtime_r(&seconds, &local);
  std::array<char, 32> buffer{};
  const auto length = std::strftime(buffer.data(), buffer.size(), "%H:%M:%S", &local);
  const auto milliseconds = std::to_string(wall / 1'000'000U % 1000U + 1000U).substr(1);
  return std::string(buffer.data(), length) + "." + milliseconds;
}

std::string end_point(const Json& event, const std::string& side) {
  const std::string address = text(event, side);
  const auto port = whole_number(event, side + "_port");
  if (port == 0) return address.empty() ? "-" : address;
  const bool v6 = address.find(':') != std::string::npos;
  return (v6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

void print_event(std::ostream& out, const Json& event) {
  const std::string protocol = text(event, "protocol");
  std::string line = wall_time(whole_number(event, "time_ns")) + " " + text(event, "reason") + " " +
                     text(event, "hook") + " ifindex " + text(event, "ifindex");
  if (const auto endpoint = whole_number(event, "endpoint_id"); endpoint != 0) {
    line += " endpoint " + std::to_string(endpoint);
  }
  line += " " + (protocol.empty() ? "-" : protocol) + " " + end_point(event, "source") + " -> " +
          end_point(event, "destination") + " length " + text(event, "length");
  out << printable(line) << '\n' << std::flush;
}

// True when it was an event and not a note about lost ones.
bool print_message(const Json& message, Output output, std::ostream& out) {
  const auto event = message.find("event");
  const bool is_event = event != message.end() && event->is_object();
  if (output == Output::json) {
    const Json& shown = is_event ? *event : message;
    out << shown.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n' << std::flush;
  } else if (is_event) {
    print_event(out, *event);
  } else if (message.contains("lost")) {
    out << "(" << whole_number(message, "lost") << " events lost)" << '\n' << std::flush;
  }
  return is_event;
}

// Milliseconds for poll; -1: no limit.
int time_left(const std::optional<Clock::time_point>& end) {
  if (!end) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*end - Clock::now()).count();
  constexpr std::int64_t kLongest = 1'000'000'000;
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, kLongest));
}

}  // namespace

Result<void> monitor_drops(Agent& agent, const Arguments& arguments, std::ostream& out) {
  const Interrupts interrupts;
  if (auto started = agent.call("monitor"); !started) return tl::make_unexpected(started.error());
  std::optional<Clock::time_point> end;
  if (arguments.timeout) end = Clock::now() + *arguments.timeout;

  for (std::uint64_t seen = 0; !arguments.count || seen < *arguments.count;) {
    std::array<pollfd, 2> waits{pollfd{.fd = agent.fd(), .events = POLLIN, .revents = 0},
                                pollfd{.fd = interrupts.fd(), .events = POLLIN, .revents = 0}};
    const int ready = poll(waits.data(), waits.size(), time_left(end));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return fail_errno(errno, "wait for events");
    if (waits[1].revents != 0) return {};
    if (end && Clock::now() >= *end) return {};
    if (waits[0].revents == 0) continue;
    const auto message = agent.next();
    if (!message) return tl::make_unexpected(message.error());
    if (print_message(*message, arguments.output, out)) ++seen;
  }
  return {};
}

}  // namespace netkite::cli
