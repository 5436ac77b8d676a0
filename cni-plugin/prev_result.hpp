// SPDX-License-Identifier: Apache-2.0
// prevResult: what the plugins before us made (ADD), or what the chain made in all (CHECK).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cni-plugin/error.hpp"
#include "cni-plugin/spec_version.hpp"
#include "common/base/ip.hpp"

namespace netkite::cni {

// `prev` in the form of `version` (0.3.0 or later): `interfaces`, `ips` and `routes` are arrays, cniVersion is ours,
// `ips[].version` present or absent as the version has it. Null gives an empty result.
[[nodiscard]] Outcome<nlohmann::json> convert_prev_result(const nlohmann::json& prev, SpecVersion version);

// What CHECK compares with the kernel.
struct Expected {
  std::vector<Ip> addresses;                // of the pod's interface
  bool default4 = false, default6 = false;  // default routes are listed
  std::vector<std::string> host_interfaces;
};
[[nodiscard]] Outcome<Expected> read_expected(const nlohmann::json& prev, const std::string& ifname);

}  // namespace netkite::cni
