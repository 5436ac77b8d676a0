// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/epoch.hpp"

#include <atomic>
#include <chrono>
#include <ctime>

#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

// A number that was never there before, whichever agent wrote it: the map does not outlive the boot.
std::uint64_t nanoseconds_since_boot() {
  std::timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  const auto since = std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  return static_cast<std::uint64_t>(since.count());
}

}  // namespace

Result<Epoch> Epoch::open(const MapStore& store) {
  auto map = TypedMap<std::uint32_t, std::uint64_t>::open(store, kEpoch);
  if (!map) return tl::make_unexpected(map.error());
  Epoch epoch;
  epoch.map_ = std::move(*map);
  return epoch;
}

void Epoch::renew() {
  std::atomic_thread_fence(std::memory_order_seq_cst);  // a program that sees the new number sees the change
  const auto done = map_.update(0, nanoseconds_since_boot());
  problem_ = done ? "" : "programs decide about each packet anew: " + done.error().message;
}

}  // namespace netkite::datapath
