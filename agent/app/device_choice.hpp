// SPDX-License-Identifier: Apache-2.0
// Which devices new pods get, given the configuration and the kernel.
#pragma once

#include "agent/config/options.hpp"
#include "agent/datapath/datapath.hpp"
#include "common/base/result.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::app {

// `auto` settles for veth where netkit is missing; the probe's own line tells people so.
// unsupported: names the feature that is missing, the kernel option and the alternative.
[[nodiscard]] Result<wire::DeviceMode> choose_device(config::Device wanted, const datapath::Features& features);

}  // namespace netkite::app
