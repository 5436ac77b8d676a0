// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/attached_maps.hpp"

#include <bpf/bpf.h>
#include <net/if.h>

#include <memory>
#include <set>

#include "agent/datapath/kernel_objects.hpp"
#include "agent/datapath/programs.hpp"

namespace netkite::datapath {
namespace {

using Device = struct if_nameindex;  // the function has the same name

std::set<std::uint32_t> programs_on(std::uint32_t ifindex) {
  std::set<std::uint32_t> ids;
  for (const Hook hook : {Hook::netkit_peer, Hook::netkit_primary, Hook::tcx_ingress, Hook::tcx_egress}) {
    const auto chain = query_chain(ifindex, hook);
    if (!chain) continue;  // no such hook on this device
    for (const auto& entry : chain->entries) ids.insert(entry.program_id);
  }
  if (const auto xdp = query_xdp(ifindex); xdp && xdp->program_id != 0) ids.insert(xdp->program_id);
  return ids;
}

}  // namespace

std::map<std::string, UniqueFd> attached_maps() {
  std::set<std::uint32_t> map_ids;
  const std::unique_ptr<Device[], decltype(&if_freenameindex)> devices(if_nameindex(), &if_freenameindex);
  for (std::size_t i = 0; devices && devices[i].if_index != 0; ++i) {
    for (const auto id : programs_on(devices[i].if_index)) {
      const auto info = program_info_by_id(id);
      if (info && is_our_program(info->name)) map_ids.insert(info->map_ids.begin(), info->map_ids.end());
    }
  }
  std::map<std::string, UniqueFd> maps;
  for (const auto id : map_ids) {
    UniqueFd fd(bpf_map_get_fd_by_id(id));
    if (!fd.valid()) continue;
    if (const auto info = map_info(fd.get())) maps.insert_or_assign(info->name, std::move(fd));
  }
  return maps;
}

}  // namespace netkite::datapath
