// SPDX-License-Identifier: Apache-2.0
// runtimeConfig.portMappings, as CONVENTIONS.md of the CNI project has it: [{hostPort, containerPort, protocol,
// hostIP}].
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cni-plugin/error.hpp"
#include "common/wire/port_mapping.hpp"

namespace netkite::cni {

// Keys may be of any case. protocol may be of either case, and is tcp when it is absent or empty; hostIP likewise may
// be.
[[nodiscard]] Outcome<std::vector<wire::PortMapping>> read_port_mappings(const nlohmann::json& list,
                                                                         const std::string& field);

}  // namespace netkite::cni
