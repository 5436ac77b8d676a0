// SPDX-License-Identifier: Apache-2.0
#include "cli/check/kernel_version.hpp"

#include <charconv>

namespace netkite::cli {
namespace {

std::optional<KernelVersion> leading_version(std::string_view text) {
  KernelVersion version;
  unsigned* const parts[] = {&version.major, &version.minor, &version.patch};
  std::size_t read = 0;
  for (unsigned* part : parts) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *part);
    if (error != std::errc{}) break;
    ++read;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (!text.starts_with('.')) break;
    text.remove_prefix(1);
  }
  if (read < 2) return std::nullopt;
  return version;
}

}  // namespace

std::string KernelVersion::to_string() const {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

std::optional<KernelVersion> parse_kernel_version(std::string_view release, std::string_view version) {
  constexpr std::string_view kDebian = "Debian ";
  if (const auto at = version.find(kDebian); at != std::string_view::npos) {
    if (auto found = leading_version(version.substr(at + kDebian.size())); found) return found;
  }
  return leading_version(release);
}

}  // namespace netkite::cli
