// SPDX-License-Identifier: Apache-2.0
// The network configuration on standard input (CNI specification 1.1, sections 1 and 2).
#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cni-plugin/args.hpp"
#include "cni-plugin/error.hpp"
#include "cni-plugin/runtime_config.hpp"
#include "cni-plugin/spec_version.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::cni {

struct NetConf {
  SpecVersion version = kDefaultVersion;
  std::string name;
  std::string agent_socket{wire::kDefaultSocket};   // key agentSocket
  Wishes wishes;                                    // ADD only
  std::optional<wire::Bandwidth> limits;            // of an ADD
  nlohmann::json dns = nlohmann::json::object();    // for the result
  nlohmann::json prev_result;                       // an object, or null when absent
  std::vector<wire::Attachment> valid_attachments;  // GC only; network left empty
};

// The version alone, so that an error in the rest is reported in it. Absent: kDefaultVersion.
[[nodiscard]] Outcome<SpecVersion> read_version(const nlohmann::json& json);
// Whether the verb is part of that version.
[[nodiscard]] Outcome<void> check_verb(Command command, SpecVersion version);

// What a DEL reads.
inline constexpr std::array<std::string_view, 3> kIdentityKeys = {"cniVersion", "name", "agentSocket"};

// Strict for every verb but DEL, which must work with whatever the configuration has become since ADD: it reads the
// name and the socket only.
[[nodiscard]] Outcome<NetConf> read_net_conf(const nlohmann::json& json, Command command, SpecVersion version);

}  // namespace netkite::cni
