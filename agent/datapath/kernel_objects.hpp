// SPDX-License-Identifier: Apache-2.0
// What the kernel says about BPF programs, links and maps, and which programs stand on a device. Room-internal.
#pragma once

#include <linux/bpf.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::datapath {

// Where on a device a program stands. The names appear in pins and reports.
enum class Hook : std::uint8_t { netkit_peer, netkit_primary, tcx_ingress, tcx_egress, xdp };
[[nodiscard]] std::string_view to_string(Hook hook);  // "netkit-peer", …
[[nodiscard]] bpf_attach_type attach_type(Hook hook);

// The kernel keeps 15 characters of an object's name.
[[nodiscard]] std::string kernel_name(std::string_view name);

struct ProgramInfo {
  std::uint32_t id = 0;
  std::string name;
  std::array<std::uint8_t, BPF_TAG_SIZE> tag{};  // of the instructions: equal programs have equal tags
  std::vector<std::uint32_t> map_ids;
};
[[nodiscard]] Result<ProgramInfo> program_info(int program_fd);
[[nodiscard]] Result<ProgramInfo> program_info_by_id(std::uint32_t id);

struct MapInfo {
  std::string name;
  std::uint32_t type = 0, key_size = 0, value_size = 0, max_entries = 0, flags = 0;
  [[nodiscard]] bool same_layout(const MapInfo& other) const {
    return type == other.type && key_size == other.key_size && value_size == other.value_size && flags == other.flags;
  }
};
[[nodiscard]] Result<MapInfo> map_info(int map_fd);

struct LinkInfo {
  std::uint32_t id = 0, type = 0, program_id = 0;
  std::uint32_t ifindex = 0;      // of XDP links, in the device's own network namespace; 0: the device is gone
  std::uint64_t cgroup = 0;       // of control groups' links: the group's number, 0: it is gone
  std::uint32_t attach_type = 0;  // the same
};
[[nodiscard]] Result<LinkInfo> link_info(int link_fd);

// The programs of one device and hook in the order in which they run, seen from the calling thread's namespace.
struct Chain {
  struct Entry {
    std::uint32_t program_id = 0, link_id = 0;  // link_id 0: attached without a link
  };
  // What an attach may name as expected; 0 (any) for an empty chain, of which netkit reports 1 whatever it really is.
  std::uint64_t revision = 0;
  std::vector<Entry> entries;
  // After a change of ours: an attach or an update.
  void count_change() { revision += revision != 0 ? 1 : 0; }
  // The place of a link, entries.size() when it is not here.
  [[nodiscard]] std::size_t position(std::uint32_t link_id) const;
  [[nodiscard]] bool has(std::uint32_t link_id) const { return position(link_id) < entries.size(); }
};
// netkit and tcx hooks. Code::not_found when the device is gone.
[[nodiscard]] Result<Chain> query_chain(std::uint32_t ifindex, Hook hook);

struct XdpState {
  std::uint32_t program_id = 0;  // 0: none
  bool native = false;           // else generic
  std::uint64_t features = 0;    // NETDEV_XDP_ACT_*: what the driver can; some tell all of it with a program only
};
[[nodiscard]] Result<XdpState> query_xdp(std::uint32_t ifindex);

}  // namespace netkite::datapath
