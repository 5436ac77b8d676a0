// SPDX-License-Identifier: Apache-2.0
// Which changes of the configuration a running agent takes over.
#pragma once

#include <vector>

#include "agent/config/options.hpp"
#include "common/base/result.hpp"

namespace netkite::app {

struct Reload {
  config::Options options;  // the running ones with peers, masquerade, prefilter.deny and log_level of the new ones
  std::vector<Cidr> deny, undeny;
};

// invalid: names the keys whose change needs a restart; nothing is to be taken over then.
[[nodiscard]] Result<Reload> plan_reload(const config::Options& running, const config::Options& fresh);

}  // namespace netkite::app
