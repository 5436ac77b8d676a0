// SPDX-License-Identifier: Apache-2.0
#include "agent/api/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace netkite::api {
namespace {

// Whole numbers as such: six significant digits would round a byte counter.
std::string text_of(double figure) {
  std::array<char, 64> text{};
  const bool whole = std::floor(figure) == figure && std::abs(figure) < 9e15;
  std::snprintf(text.data(), text.size(), whole ? "%.0f" : "%.9g", figure);
  return text.data();
}

std::string quoted(std::string_view value) {
  std::string text = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') text += '\\';
    if (c == '\n') {
      text += "\\n";
    } else {
      text += c;
    }
  }
  return text + "\"";
}

std::string pair_of(std::string_view label, std::string_view value) {
  return label.empty() ? "" : std::string(label) + "=" + quoted(value);
}

}  // namespace

void CallTimes::took(std::chrono::steady_clock::duration time) {
  const double seconds = std::chrono::duration<double>(time).count();
  const auto* const bound = std::ranges::lower_bound(kBounds, seconds);
  ++buckets_.at(static_cast<std::size_t>(bound - kBounds.begin()));
  sum_ += seconds;
}

void MetricsWriter::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_ += "# HELP " + name_ + " " + std::string(help) + "\n# TYPE " + name_ + " " + std::string(type) + "\n";
}

void MetricsWriter::line(std::string_view suffix, const std::string& labels, double figure) {
  text_ += name_ + std::string(suffix);
  if (!labels.empty()) text_ += "{" + labels + "}";
  text_ += " " + text_of(figure) + "\n";
}

void MetricsWriter::sample(double figure, std::string_view label, std::string_view value, std::string_view suffix) {
  line(suffix, pair_of(label, value), figure);
}

void MetricsWriter::sample(double figure, Labels labels) {
  std::string text;
  for (const auto& [label, value] : labels) text += (text.empty() ? "" : ",") + pair_of(label, value);
  line("", text, figure);
}

void MetricsWriter::histogram(const CallTimes& times, std::string_view label, std::string_view value) {
  const auto labels = pair_of(label, value);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < times.buckets().size(); ++i) {
    below += times.buckets().at(i);
    const auto bound = i < CallTimes::kBounds.size() ? text_of(CallTimes::kBounds.at(i)) : "+Inf";
    line("_bucket", labels + (labels.empty() ? "" : ",") + pair_of("le", bound), static_cast<double>(below));
  }
  line("_sum", labels, times.sum());
  line("_count", labels, static_cast<double>(below));
}

}  // namespace netkite::api
