// SPDX-License-Identifier: Apache-2.0
// Kernel versions, for the bugs that cannot be probed without risk.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace netkite::cli {

struct KernelVersion {
  unsigned major = 0, minor = 0, patch = 0;
  auto operator<=>(const KernelVersion&) const = default;
  [[nodiscard]] std::string to_string() const;
};

// From uname's release, or from its version where a distribution puts the real one there: Debian 12 calls a kernel
// "6.1.0-30-amd64" and says "Debian 6.1.124-1" in the version.
[[nodiscard]] std::optional<KernelVersion> parse_kernel_version(std::string_view release, std::string_view version);

}  // namespace netkite::cli
