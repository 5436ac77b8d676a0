// SPDX-License-Identifier: Apache-2.0
// Which devices new pods get, given the configuration and the kernel.
#pragma once

#include <string>

#include "agent/config/options.hpp"
#include "agent/datapath/datapath.hpp"
#include "common/base/result.hpp"

namespace netkite::app {

struct DeviceChoice {
  wire::DeviceMode mode = wire::DeviceMode::netkit;
  std::string warning;  // one line when `auto` had to settle for less
};

// unsupported: names the feature that is missing, the kernel option and the alternative.
[[nodiscard]] Result<DeviceChoice> choose_device(config::Device wanted, const datapath::Features& features);

}  // namespace netkite::app
