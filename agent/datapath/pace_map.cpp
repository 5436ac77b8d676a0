// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/pace_map.hpp"

#include <algorithm>

#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

constexpr std::uint64_t kNsPerS = 1'000'000'000;
// What may wait: enough for TCP to fill the rate, and not so much that everybody's queue is one pod's. Slow pods need
// the longest time, since one large segment lasts long; less than retransmissions take, and than fq's own horizon.
constexpr std::uint64_t kMostWaiting = std::uint64_t{512} * 1024;  // bytes
constexpr std::uint64_t kLeastHorizon = kNsPerS / 20, kMostHorizon = 2 * kNsPerS;

bool same_limit(const nk_pace& one, const nk_pace& other) {
  return one.bytes_per_s == other.bytes_per_s && one.burst_ns == other.burst_ns && one.horizon_ns == other.horizon_ns;
}

}  // namespace

nk_pace pace_of(const EndpointDevice& device) {
  const auto& [ingress_rate, ingress_burst, rate, burst] = device.bandwidth;
  nk_pace pace{};
  pace.bytes_per_s = rate / 8;
  pace.burst_ns = burst / 8 * kNsPerS / pace.bytes_per_s;  // 4 GiB in nanoseconds are 62 bits
  pace.horizon_ns = std::clamp<std::uint64_t>(kMostWaiting * kNsPerS / pace.bytes_per_s, kLeastHorizon, kMostHorizon);
  return pace;
}

Result<PaceMap> PaceMap::open(const MapStore& store) {
  auto map = TypedMap<std::uint32_t, nk_pace>::open(store, kPaces);
  if (!map) return tl::make_unexpected(map.error());
  PaceMap paces;
  paces.map_ = std::move(*map);
  return paces;
}

Result<void> PaceMap::set(const EndpointDevice& device) const {
  if (device.bandwidth.egress_rate == 0) {
    return map_.erase(device.host_ifindex).map([](bool) {});
  }
  const auto pace = pace_of(device);
  const auto present = map_.lookup(device.host_ifindex);
  if (!present) return tl::make_unexpected(present.error());
  if (*present && same_limit(**present, pace)) return {};
  return map_.update(device.host_ifindex, pace);
}

void PaceMap::remove(std::uint32_t ifindex) const { std::ignore = map_.erase(ifindex); }

Result<void> PaceMap::verify(const EndpointDevice& device) const {
  const auto present = map_.lookup(device.host_ifindex);
  if (!present) return tl::make_unexpected(present.error());
  const bool limited = device.bandwidth.egress_rate != 0;
  if (limited ? *present && same_limit(**present, pace_of(device)) : !*present) return {};
  return fail(Code::not_found, "map " + std::string(kPaces) + " has another limit for " + device.host_ifname);
}

void PaceMap::purge(const std::function<bool(std::uint32_t ifindex)>& keep) const {
  const auto present = map_.entries();
  if (!present) return;
  for (const auto& [ifindex, pace] : *present) {
    if (!keep(ifindex)) remove(ifindex);
  }
}

}  // namespace netkite::datapath
