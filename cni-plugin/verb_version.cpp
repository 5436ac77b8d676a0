// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/input.hpp"
#include "cni-plugin/verbs.hpp"

namespace netkite::cni {

nlohmann::json verb_version(std::string_view input) {
  // Echo the asker's version where we speak it; VERSION exists to find out, so nothing here is an error.
  auto version = kNewestVersion;
  if (const auto json = decode_object(input)) {
    if (const auto asked = read_version(*json); asked && json->contains("cniVersion")) version = *asked;
  }
  return {{"cniVersion", to_string(version)}, {"supportedVersions", kSpecVersions}};
}

}  // namespace netkite::cni
