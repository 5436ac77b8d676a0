// SPDX-License-Identifier: Apache-2.0
// The verbs. Each gets checked input, and either did all of its work or says what is wrong.
#pragma once

#include <string_view>

#include "cni-plugin/agent_client.hpp"
#include "cni-plugin/args.hpp"
#include "cni-plugin/error.hpp"
#include "cni-plugin/net_conf.hpp"
#include "cni-plugin/output.hpp"

namespace netkite::cni {

struct Call {
  Args args;
  NetConf conf;
  Clock::time_point started;

  [[nodiscard]] wire::Attachment attachment() const {
    return {.network = conf.name, .container_id = args.container_id, .ifname = args.ifname};
  }
};

// Writes the result itself: a result that cannot be delivered is a failure that must be undone.
[[nodiscard]] Outcome<void> verb_add(const Call& call, Output& output);
[[nodiscard]] Outcome<void> verb_del(const Call& call);
[[nodiscard]] Outcome<void> verb_check(const Call& call);
[[nodiscard]] Outcome<void> verb_gc(const Call& call);
[[nodiscard]] Outcome<void> verb_status(const Call& call);
// `input` is what standard input holds: {"cniVersion": …}, or nothing.
[[nodiscard]] nlohmann::json verb_version(std::string_view input);

}  // namespace netkite::cni
