// SPDX-License-Identifier: Apache-2.0
// What is there, read from the kernel: counters, map sizes, programs on devices. Room-internal.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/datapath/datapath.hpp"
#include "agent/datapath/kernel_objects.hpp"
#include "agent/datapath/map_store.hpp"

namespace netkite::datapath {

[[nodiscard]] Result<std::vector<DropCount>> report_drops(const MapStore& maps);
[[nodiscard]] Result<DropCount> report_drops(const MapStore& maps, std::uint32_t reason);
// `counted`: the entries of maps, by name, that somebody has counted already, because it takes too long.
[[nodiscard]] Result<std::vector<MapReport>> report_maps(const MapStore& maps,
                                                         const std::map<std::string, std::uint64_t>& counted);

// The programs on one hook of one device, in the order in which they run; none when the device has no such hook.
struct ReportPlace {
  std::uint32_t ifindex = 0;
  std::string ifname;
  Hook hook = Hook::tcx_ingress;
};
void report_programs(const ReportPlace& place, const std::function<bool(std::uint32_t program_id)>& ours,
                     std::vector<ProgramReport>& reports);

}  // namespace netkite::datapath
