// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <array>
#include <filesystem>

#include "cli/check/check.hpp"
#include "cli/check/pins.hpp"

namespace netkite::cli {
namespace {

Finding bpffs_finding(const std::string& bpffs) {
  const std::string mount = std::filesystem::path(bpffs).parent_path().string();
  struct statfs info{};
  if (statfs(mount.c_str(), &info) == 0 && static_cast<std::uint64_t>(info.f_type) == BPF_FS_MAGIC) {
    return good("bpffs", mount + " is mounted");
  }
  return failure("bpffs", mount + " is no BPF file system", "mount -t bpf bpf " + mount);
}

Finding pins_finding(const std::string& bpffs, const Pins& pins) {
  if (!pins.unreadable.empty()) {
    return failure("pins", pins.unreadable.front(), "run as root");
  }
  if (pins.maps + pins.links + pins.programs == 0) {
    return caution("pins", "nothing is pinned below " + bpffs, "start netkite-agent");
  }
  return good("pins", std::to_string(pins.maps) + " maps and " + std::to_string(pins.links) + " links below " + bpffs);
}

struct Hook {
  bpf_attach_type type;
  const char* name;
};

// The agent puts its backstop (bpf/backstop.bpf.c) behind its other programs without a link: there is no pin to know it
// by.
bool is_backstop(__u32 link_id, const std::string& name) { return link_id == 0 && name == "nk_backstop"; }

// Programs at one hook of a device that nobody of ours pinned, as "name (id) at hook of device".
void add_foreign(std::vector<std::string>& foreign, const netlink::Link& device, const Hook& hook,
                 const std::set<std::uint32_t>& ours) {
  std::array<__u32, 64> ids{}, links{};  // the kernel's bound for one hook
  struct bpf_prog_query_opts query{};
  query.sz = sizeof(query);
  query.prog_ids = ids.data();
  query.link_ids = links.data();
  query.count = ids.size();
  if (bpf_prog_query_opts(static_cast<int>(device.index), hook.type, &query) != 0) return;
  for (std::size_t i = 0; i < query.count && i < ids.size(); ++i) {
    const std::string name = program_name(ids[i]);
    if (ours.contains(ids[i]) || is_backstop(links[i], name)) continue;
    foreign.push_back(name + " (id " + std::to_string(ids[i]) + ") at " + hook.name + " of " + device.name);
  }
}

void add_foreign_xdp(std::vector<std::string>& foreign, const netlink::Link& device,
                     const std::set<std::uint32_t>& ours) {
  __u32 id = 0;
  if (bpf_xdp_query_id(static_cast<int>(device.index), 0, &id) != 0 || id == 0 || ours.contains(id)) return;
  foreign.push_back(program_name(id) + " (id " + std::to_string(id) + ") at XDP of " + device.name);
}

Finding foreign_finding(const std::vector<netlink::Link>& devices, const std::set<std::uint32_t>& ours) {
  std::vector<std::string> foreign;
  for (const auto& device : devices) {
    for (const Hook hook : {Hook{BPF_TCX_INGRESS, "tcx ingress"}, Hook{BPF_TCX_EGRESS, "tcx egress"}}) {
      add_foreign(foreign, device, hook, ours);
    }
    if (device.kind == "netkit") {
      for (const Hook hook : {Hook{BPF_NETKIT_PRIMARY, "netkit primary"}, Hook{BPF_NETKIT_PEER, "netkit peer"}}) {
        add_foreign(foreign, device, hook, ours);
      }
    }
    add_foreign_xdp(foreign, device, ours);
  }
  if (foreign.empty()) {
    return good("foreign-programs", "none on " + std::to_string(devices.size()) + " devices");
  }
  std::string list;
  for (const auto& each : foreign) list += (list.empty() ? "" : ", ") + each;
  return caution("foreign-programs", list, "they may drop or redirect pods' packets: see datapath.position");
}

}  // namespace

Findings check_bpf(const std::string& bpffs, const std::vector<netlink::Link>& devices) {
  libbpf_set_print(nullptr);
  const Pins pins = read_pins(bpffs);
  return {bpffs_finding(bpffs), pins_finding(bpffs, pins), foreign_finding(devices, pins.program_ids)};
}

}  // namespace netkite::cli
