// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/kernel_objects.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include <algorithm>
#include <cerrno>

namespace netkite::datapath {
namespace {

constexpr std::size_t kMaxChain = 64;  // the kernel's BPF_MPROG_MAX

template <typename Info>
Result<Info> info_of(int fd, std::string_view what) {
  Info info{};
  __u32 length = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &length) != 0) return fail_errno(errno, what);
  return info;
}

}  // namespace

std::string_view to_string(Hook hook) {
  switch (hook) {
    case Hook::netkit_peer:
      return "netkit-peer";
    case Hook::netkit_primary:
      return "netkit-primary";
    case Hook::tcx_ingress:
      return "tcx-ingress";
    case Hook::tcx_egress:
      return "tcx-egress";
    case Hook::xdp:
      return "xdp";
  }
  return "";
}

bpf_attach_type attach_type(Hook hook) {
  switch (hook) {
    case Hook::netkit_peer:
      return BPF_NETKIT_PEER;
    case Hook::netkit_primary:
      return BPF_NETKIT_PRIMARY;
    case Hook::tcx_ingress:
      return BPF_TCX_INGRESS;
    case Hook::tcx_egress:
      return BPF_TCX_EGRESS;
    case Hook::xdp:
      break;
  }
  return BPF_XDP;
}

std::string kernel_name(std::string_view name) { return std::string(name.substr(0, BPF_OBJ_NAME_LEN - 1)); }

Result<ProgramInfo> program_info(int program_fd) {
  auto raw = info_of<bpf_prog_info>(program_fd, "program info");
  if (!raw) return tl::make_unexpected(raw.error());
  ProgramInfo info{.id = raw->id, .name = raw->name, .tag = {}, .map_ids = {}};
  std::copy(std::begin(raw->tag), std::end(raw->tag), info.tag.begin());
  info.map_ids.resize(raw->nr_map_ids);
  if (info.map_ids.empty()) return info;
  bpf_prog_info again{};
  again.nr_map_ids = raw->nr_map_ids;
  again.map_ids = reinterpret_cast<std::uintptr_t>(info.map_ids.data());
  __u32 length = sizeof(again);
  if (bpf_obj_get_info_by_fd(program_fd, &again, &length) != 0) return fail_errno(errno, "program info");
  info.map_ids.resize(std::min<std::size_t>(info.map_ids.size(), again.nr_map_ids));
  return info;
}

Result<ProgramInfo> program_info_by_id(std::uint32_t id) {
  const UniqueFd fd(bpf_prog_get_fd_by_id(id));
  if (!fd.valid()) return fail_errno(errno, "program " + std::to_string(id));
  return program_info(fd.get());
}

Result<MapInfo> map_info(int map_fd) {
  auto raw = info_of<bpf_map_info>(map_fd, "map info");
  if (!raw) return tl::make_unexpected(raw.error());
  return MapInfo{.name = raw->name,
                 .type = raw->type,
                 .key_size = raw->key_size,
                 .value_size = raw->value_size,
                 .max_entries = raw->max_entries,
                 .flags = raw->map_flags};
}

Result<LinkInfo> link_info(int link_fd) {
  auto raw = info_of<bpf_link_info>(link_fd, "link info");
  if (!raw) return tl::make_unexpected(raw.error());
  LinkInfo info;
  info.id = raw->id;
  info.type = raw->type;
  info.program_id = raw->prog_id;
  if (raw->type == BPF_LINK_TYPE_XDP) info.ifindex = raw->xdp.ifindex;
  if (raw->type == BPF_LINK_TYPE_CGROUP) {
    info.cgroup = raw->cgroup.cgroup_id;
    info.attach_type = raw->cgroup.attach_type;
  }
  return info;
}

std::size_t Chain::position(std::uint32_t link_id) const {
  const auto found = std::ranges::find(entries, link_id, &Entry::link_id);
  return static_cast<std::size_t>(found - entries.begin());
}

Result<Chain> query_chain(std::uint32_t ifindex, Hook hook) {
  std::array<__u32, kMaxChain> programs{};
  std::array<__u32, kMaxChain> links{};
  LIBBPF_OPTS(bpf_prog_query_opts, options, .prog_ids = programs.data(), .count = kMaxChain, .link_ids = links.data());
  if (bpf_prog_query_opts(static_cast<int>(ifindex), attach_type(hook), &options) != 0) {
    return fail_errno(errno, "query " + std::string(to_string(hook)) + " of device " + std::to_string(ifindex));
  }
  Chain chain{.revision = options.count == 0 ? 0 : options.revision, .entries = {}};
  for (std::size_t i = 0; i < std::min<std::size_t>(options.count, kMaxChain); ++i) {
    chain.entries.push_back({.program_id = programs.at(i), .link_id = links.at(i)});
  }
  return chain;
}

Result<XdpState> query_xdp(std::uint32_t ifindex) {
  LIBBPF_OPTS(bpf_xdp_query_opts, options);
  if (const int status = bpf_xdp_query(static_cast<int>(ifindex), 0, &options); status != 0) {
    return fail_errno(-status, "query xdp of device " + std::to_string(ifindex));
  }
  const bool native = options.attach_mode == XDP_ATTACHED_DRV || options.attach_mode == XDP_ATTACHED_HW;
  return XdpState{.program_id = options.prog_id, .native = native, .features = options.feature_flags};
}

}  // namespace netkite::datapath
