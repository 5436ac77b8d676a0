// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/reports.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "agent/datapath/map_names.hpp"
#include "agent/datapath/typed_map.hpp"
#include "bpf/abi/netkite.h"

namespace netkite::datapath {
namespace {

// `memlock` of the descriptor's fdinfo: what the kernel charges for the map.
std::uint64_t charged_bytes(int map_fd) {
  std::ifstream file("/proc/self/fdinfo/" + std::to_string(map_fd));
  for (std::string key; file >> key;) {
    std::uint64_t value = 0;
    if (key == "memlock:" && file >> value) return value;
  }
  return 0;
}

bool counts_entries(std::uint32_t type) { return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LPM_TRIE; }

}  // namespace

Result<DropCount> report_drops(const MapStore& maps, std::uint32_t reason) {
  const auto map = maps.find(kDrops);
  if (!map || map->info.value_size != sizeof(nk_counter)) return fail(Code::not_found, "no drop counters");
  std::vector<nk_counter> cpus(static_cast<std::size_t>(std::max(libbpf_num_possible_cpus(), 1)));
  if (bpf_map_lookup_elem(map->fd, &reason, cpus.data()) != 0) return fail_errno(errno, "read drop counters");
  DropCount count{.reason = std::string(drop_reason_name(reason)), .packets = 0, .bytes = 0};
  for (const auto& cpu : cpus) {
    count.packets += cpu.packets;
    count.bytes += cpu.bytes;
  }
  return count;
}

Result<std::vector<DropCount>> report_drops(const MapStore& maps) {
  std::vector<DropCount> counts;
  for (std::uint32_t reason = 0; reason < NK_DROP_REASON_COUNT; ++reason) {
    auto count = report_drops(maps, reason);
    if (!count) return tl::make_unexpected(count.error());
    counts.push_back(*std::move(count));
  }
  return counts;
}

Result<std::vector<MapReport>> report_maps(const MapStore& maps, const std::map<std::string, std::uint64_t>& counted) {
  std::vector<MapReport> reports;
  for (const auto& map : maps.all()) {
    MapReport report{.name = map.info.name, .type = {}, .max_entries = map.info.max_entries, .bytes = 0, .entries = {}};
    const char* type = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(map.info.type));
    report.type = type == nullptr ? std::to_string(map.info.type) : type;
    report.bytes = charged_bytes(map.fd);
    if (const auto known = counted.find(report.name); known != counted.end()) {
      report.entries = known->second;
    } else if (counts_entries(map.info.type)) {
      auto dump = RawMap(map).dump();
      if (!dump) return tl::make_unexpected(dump.error());
      report.entries = dump->count;
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

void report_programs(const ReportPlace& place, const std::function<bool(std::uint32_t program_id)>& ours,
                     std::vector<ProgramReport>& reports) {
  Chain chain;
  std::string mode;
  if (place.hook == Hook::xdp) {
    const auto state = query_xdp(place.ifindex);
    if (!state || state->program_id == 0) return;
    chain.entries.push_back({.program_id = state->program_id, .link_id = 0});
    mode = state->native ? "native" : "generic";
  } else {
    chain = query_chain(place.ifindex, place.hook).value_or(Chain{});
  }
  for (const auto& entry : chain.entries) {
    const auto info = program_info_by_id(entry.program_id);
    reports.push_back({.name = info ? info->name : std::string(),
                       .hook = std::string(to_string(place.hook)),
                       .device = place.ifname,
                       .mode = mode,
                       .ifindex = place.ifindex,
                       .prog_id = entry.program_id,
                       .link_id = entry.link_id,
                       .ours = ours(entry.program_id)});
  }
}

}  // namespace netkite::datapath
