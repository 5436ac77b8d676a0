// SPDX-License-Identifier: Apache-2.0
// The XDP link of one device: a device has room for one program, and no chain to query. Room-internal.
#pragma once

#include <cstdint>
#include <string>

#include "agent/config/options.hpp"
#include "agent/datapath/loader.hpp"
#include "agent/datapath/pins.hpp"

namespace netkite::datapath {

struct XdpPlace {
  std::uint32_t ifindex = 0;
  std::string ifname;
};

// Adopts and updates, or creates: in native mode where the driver has it, else generic, unless `mode` says which.
// Code::exists when a foreign program has the place.
[[nodiscard]] Result<void> attach_xdp(const XdpPlace& place, config::XdpMode mode, const LoadedProgram& program,
                                      const Pins& pins);
// Ours alone; nothing there: fine.
void detach_xdp(const XdpPlace& place, const Pins& pins);

}  // namespace netkite::datapath
