// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoint/limits.hpp"

#include <algorithm>
#include <limits>

namespace netkite::endpoint {
namespace {

constexpr std::uint64_t kLeastBurst = std::uint64_t{16} * 1024 * 8;   // bits: tbf takes no packet that is larger
constexpr std::uint64_t kUsualBurst = std::uint64_t{128} * 1024 * 8;  // bits
constexpr std::uint64_t kUnsaid = std::numeric_limits<std::int32_t>::max();
constexpr std::uint64_t kQueuesPerS = 40;  // a full queue takes 25 ms, as with the field's plugin

void correct(std::uint64_t rate, std::uint64_t& burst) {
  if (rate == 0) return;
  burst = burst >= kUnsaid ? std::clamp(rate / 100, kUsualBurst, wire::kMostBurst) : std::max(burst, kLeastBurst);
}

}  // namespace

wire::Bandwidth effective(wire::Bandwidth asked) {
  correct(asked.ingress_rate, asked.ingress_burst);
  correct(asked.egress_rate, asked.egress_burst);
  return asked;
}

netlink::Tbf queue_of(const wire::Bandwidth& bandwidth) {
  const std::uint64_t rate = bandwidth.ingress_rate / 8, burst = bandwidth.ingress_burst / 8;
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  return {.rate = rate,
          .burst = static_cast<std::uint32_t>(burst),
          .limit = static_cast<std::uint32_t>(std::min(burst + rate / kQueuesPerS, kMost))};
}

}  // namespace netkite::endpoint
