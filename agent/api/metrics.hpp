// SPDX-License-Identifier: Apache-2.0
// Figures for Prometheus, in its text format 0.0.4.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace netkite::api {

// How long calls took, and how many failed.
class CallTimes {
 public:
  void took(std::chrono::steady_clock::duration time);
  void failed() { ++failures_; }

  // Upper bounds in seconds; the last bucket has none.
  static constexpr std::array<double, 10> kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10};

  [[nodiscard]] const auto& buckets() const { return buckets_; }  // each counts its own calls alone
  [[nodiscard]] double sum() const { return sum_; }               // seconds
  [[nodiscard]] std::uint64_t failures() const { return failures_; }

 private:
  std::array<std::uint64_t, kBounds.size() + 1> buckets_{};
  double sum_ = 0;
  std::uint64_t failures_ = 0;
};

// Writes one family after the other: every sample belongs to the family begun last.
class MetricsWriter {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help);
  // `label` and `value` may be empty together.
  void sample(double figure, std::string_view label = "", std::string_view value = "", std::string_view suffix = "");
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;
  void sample(double figure, Labels labels);
  void histogram(const CallTimes& times, std::string_view label, std::string_view value);
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void line(std::string_view suffix, const std::string& labels, double figure);
  std::string name_, text_;
};

}  // namespace netkite::api
