// SPDX-License-Identifier: Apache-2.0
// The kernel's switch is a number that expedites while it is not 0. We add 1 and take 1 away rather than write and
// restore, so that several agents on one kernel, and an administrator who set it, do not undo each other.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "agent/datapath/datapath.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::datapath {
namespace {

constexpr const char* kSwitch = "/sys/kernel/rcu_expedited";

struct State {
  std::mutex mutex;
  bool enabled = false, writable = true;
  int holders = 0;
  std::string record;
  UniqueFd held;  // the record, locked, while the switch is up for us
};

State& shared_state() {
  static State instance;
  return instance;
}

// False when the switch cannot be read or written.
bool add_to_switch(int difference) {
  const UniqueFd fd(::open(kSwitch, O_RDWR | O_CLOEXEC));
  std::array<char, 16> text{};
  const auto length = fd.valid() ? ::pread(fd.get(), text.data(), text.size(), 0) : -1;
  int value = 0;
  if (length <= 0 || std::from_chars(text.data(), text.data() + length, value).ec != std::errc()) return false;
  const auto sum = std::to_string(std::max(value + difference, 0)) + "\n";
  return ::pwrite(fd.get(), sum.data(), sum.size(), 0) > 0;
}

// The record has a byte while the switch is up, and is locked by everybody who wants it up: a byte without a lock is
// what a crash has left.
bool recorded(const UniqueFd& record) {
  struct stat status{};
  return ::fstat(record.get(), &status) == 0 && status.st_size > 0;
}
bool alone(const UniqueFd& record) { return ::flock(record.get(), LOCK_EX | LOCK_NB) == 0; }

void lower(const UniqueFd& record) {
  if (!alone(record) || !recorded(record)) return;
  add_to_switch(-1);
  std::ignore = ::ftruncate(record.get(), 0);
}

// The record is written before the switch is raised, or it is not raised: a crash never leaves it up for good.
UniqueFd raise(const std::string& path) {
  UniqueFd record(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!record.valid()) return {};
  while (true) {
    if (alone(record) && !recorded(record)) {
      if (::pwrite(record.get(), "1", 1, 0) != 1) return {};
      if (!add_to_switch(1)) {
        std::ignore = ::ftruncate(record.get(), 0);
        return {};
      }
    }
    // Somebody else may lower it before this lock is ours: then once more.
    if (::flock(record.get(), LOCK_SH) != 0) return {};
    if (recorded(record)) return record;
  }
}

}  // namespace

void ExpediteRcu::configure(bool enabled, const std::string& folder) {
  auto& shared = shared_state();
  const std::lock_guard guard(shared.mutex);
  shared.enabled = enabled;
  shared.record = folder + "/rcu_expedited";
  ::mkdir(folder.c_str(), 0700);
  const UniqueFd left(::open(shared.record.c_str(), O_RDWR | O_CLOEXEC));
  if (left.valid()) lower(left);
  shared.writable = ::access(kSwitch, W_OK) == 0;
}

std::string ExpediteRcu::state() {
  auto& shared = shared_state();
  const std::lock_guard guard(shared.mutex);
  if (!shared.enabled) return "off";
  if (!shared.writable) return "read-only";
  return shared.held.valid() ? "on" : "idle";
}

ExpediteRcu::ExpediteRcu() : holds_(true) {
  auto& shared = shared_state();
  const std::lock_guard guard(shared.mutex);
  if (shared.holders++ > 0 || !shared.enabled) return;
  shared.held = raise(shared.record);
  shared.writable = shared.held.valid();
}

ExpediteRcu::~ExpediteRcu() {
  if (!holds_) return;
  auto& shared = shared_state();
  const std::lock_guard guard(shared.mutex);
  if (--shared.holders > 0 || !shared.held.valid()) return;
  lower(shared.held);
  shared.held = {};
}

ExpediteRcu::ExpediteRcu(ExpediteRcu&& other) noexcept : holds_(std::exchange(other.holds_, false)) {}

ExpediteRcu& ExpediteRcu::operator=(ExpediteRcu&& other) noexcept {
  std::swap(holds_, other.holds_);
  return *this;
}

}  // namespace netkite::datapath
