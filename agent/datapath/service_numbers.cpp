// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/service_numbers.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/base/file.hpp"

namespace netkite::datapath {
namespace {

constexpr std::uint32_t kAhead = 4096;
constexpr std::uint32_t kMost = 1U << 31;  // what is above it was never one of ours
constexpr std::size_t kMostBytes = 16;

std::uint32_t number_in(const std::string& text) {
  std::uint32_t number = 0;
  const auto* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && std::string_view(rest, end) == "\n" && number <= kMost ? number : 0;
}

std::uint32_t highest_in(const service::Changes& changes) {
  std::uint32_t highest = 0;
  const auto note = [&highest](std::uint32_t number) { highest = std::max(highest, number); };
  for (const auto& [id, backend] : changes.backends) note(std::max(id, backend.set));
  for (const auto& [frontend, entry] : changes.frontends) note(entry.set);
  for (const auto& [frontend, entry] : changes.entrances) note(entry.set);
  return highest;
}

}  // namespace

ServiceNumbers::ServiceNumbers(std::string file) : file_(std::move(file)) {
  const auto text = read_file(file_, kMostBytes);
  if (!text && text.error().code != Code::not_found && text.error().code != Code::invalid) {
    problem_ = "services: " + text.error().message;
  }
  in_file_ = highest_ = number_in(text.value_or(std::string()));
}

void ServiceNumbers::note(const service::Changes& changes) {
  highest_ = std::max(highest_, highest_in(changes));
  if (highest_ <= in_file_) return;
  const auto ahead = highest_ + kAhead;
  const auto written = replace_file(file_, std::to_string(ahead) + "\n");
  problem_ = written ? std::string() : "services: " + written.error().message;
  if (written) in_file_ = ahead;
}

}  // namespace netkite::datapath
