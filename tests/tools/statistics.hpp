// SPDX-License-Identifier: Apache-2.0
// Percentiles of measured samples.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

namespace netkite::tools {

// Median, 99th percentile (nearest rank) and mean, in the unit of the samples; zeros when there are none.
struct Summary {
  double p50 = 0, p99 = 0, mean = 0;

  [[nodiscard]] static Summary of(std::vector<double> samples) {
    if (samples.empty()) return {};
    std::sort(samples.begin(), samples.end());
    const auto rank = [&](std::size_t percent) { return samples[(samples.size() * percent + 99) / 100 - 1]; };
    return {.p50 = rank(50),
            .p99 = rank(99),
            .mean = std::accumulate(samples.begin(), samples.end(), 0.0) / static_cast<double>(samples.size())};
  }
};

}  // namespace netkite::tools
