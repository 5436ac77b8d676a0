// SPDX-License-Identifier: Apache-2.0
// The kernel's switch is a number that expedites while it is not 0. We add 1 and take 1 away rather than write and
// restore, so that several agents on one kernel, and an administrator who set it, do not undo each other.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "agent/datapath/datapath.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::datapath {
namespace {

constexpr const char* kSwitch = "/sys/kernel/rcu_expedited";
// sysfs has one inode for each network namespace, so the agents of one kernel meet at a file instead.
constexpr const char* kLock = "/run/lock/netkite-rcu";

struct State {
  std::mutex mutex;
  bool enabled = false, writable = true, raised = false;
  int holders = 0;
  std::string note;
};

State& shared_state() {
  static State instance;
  return instance;
}

std::optional<int> read_switch() {
  const UniqueFd fd(::open(kSwitch, O_RDONLY | O_CLOEXEC));
  std::array<char, 16> text{};
  const auto length = fd.valid() ? ::read(fd.get(), text.data(), text.size()) : -1;
  int value = 0;
  if (length <= 0 || std::from_chars(text.data(), text.data() + length, value).ec != std::errc()) return std::nullopt;
  return value;
}

// Adds to the switch, never below 0. Gives the former value, nothing when the file cannot be written.
std::optional<int> add_to_switch(int difference) {
  const UniqueFd lock(::open(kLock, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.valid()) ::flock(lock.get(), LOCK_EX);  // without the folder: one agent on this kernel, no need
  const auto before = read_switch();
  const UniqueFd fd(::open(kSwitch, O_WRONLY | O_CLOEXEC));
  if (!before || !fd.valid()) return std::nullopt;
  const auto text = std::to_string(std::max(*before + difference, 0));
  if (::write(fd.get(), text.data(), text.size()) < 0) return std::nullopt;
  return before;
}

// The note is there before the switch is raised, or it is not raised: a crash never leaves it up for good.
void raise(State& shared) {
  std::ofstream note(shared.note);
  note << read_switch().value_or(0) << '\n';
  note.close();
  if (!note) return;
  shared.raised = add_to_switch(1).has_value();
  shared.writable = shared.raised;
  if (!shared.raised) ::unlink(shared.note.c_str());
}

void lower(State& shared) {
  if (shared.raised) add_to_switch(-1);
  shared.raised = false;
  ::unlink(shared.note.c_str());
}

}  // namespace

void ExpediteRcu::configure(bool enabled, std::string run_dir) {
  auto& shared = shared_state();
  const std::lock_guard guard(shared.mutex);
  shared.enabled = enabled;
  shared.note = std::move(run_dir) + "/rcu_expedited.saved";
  std::error_code problem;
  if (std::filesystem::exists(shared.note, problem)) {
    add_to_switch(-1);
    ::unlink(shared.note.c_str());
  }
  shared.writable = ::access(kSwitch, W_OK) == 0;
}

std::string ExpediteRcu::state() {
  auto& shared = shared_state();
  const std::lock_guard guard(shared.mutex);
  if (!shared.enabled) return "off";
  if (!shared.writable) return "read-only";
  return shared.raised ? "on" : "idle";
}

ExpediteRcu::ExpediteRcu() {
  auto& shared = shared_state();
  const std::lock_guard guard(shared.mutex);
  holds_ = true;
  if (shared.holders++ == 0 && shared.enabled) raise(shared);
}

ExpediteRcu::~ExpediteRcu() {
  if (!holds_) return;
  auto& shared = shared_state();
  const std::lock_guard guard(shared.mutex);
  if (--shared.holders == 0 && shared.raised) lower(shared);
}

ExpediteRcu::ExpediteRcu(ExpediteRcu&& other) noexcept : holds_(std::exchange(other.holds_, false)) {}

ExpediteRcu& ExpediteRcu::operator=(ExpediteRcu&& other) noexcept {
  std::swap(holds_, other.holds_);
  return *this;
}

}  // namespace netkite::datapath
