// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/spec_version.hpp"

#include <algorithm>

namespace netkite::cni {

std::string_view to_string(SpecVersion version) { return kSpecVersions.at(static_cast<std::size_t>(version)); }

std::optional<SpecVersion> parse_version(std::string_view text) {
  const auto* const found = std::find(kSpecVersions.begin(), kSpecVersions.end(), text);
  if (found == kSpecVersions.end()) return std::nullopt;
  return static_cast<SpecVersion>(found - kSpecVersions.begin());
}

std::string list_versions() {
  std::string list;
  for (const auto version : kSpecVersions) list.append(list.empty() ? "" : ", ").append(version);
  return list;
}

}  // namespace netkite::cni
