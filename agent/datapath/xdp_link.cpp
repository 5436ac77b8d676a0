// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/xdp_link.hpp"

#include <bpf/bpf.h>
#include <linux/if_link.h>

#include <cerrno>
#include <vector>

#include "agent/datapath/place.hpp"

namespace netkite::datapath {
namespace {

bool is_ours(std::uint32_t program_id) {
  const auto info = program_info_by_id(program_id);
  return info && info->name == program_name(ProgramKind::xdp_prefilter);
}

bool stands_there(const LinkInfo& link, const XdpPlace& place, const XdpState& state) {
  return link.type == BPF_LINK_TYPE_XDP && link.ifindex == place.ifindex && link.program_id == state.program_id;
}

// Among all links of the kernel. An index alone could be another namespace's device; the program's id, which the device
// in our namespace reported, cannot.
UniqueFd find_unpinned(const XdpPlace& place, const XdpState& state) {
  for (__u32 id = 0; bpf_link_get_next_id(id, &id) == 0;) {
    UniqueFd fd(bpf_link_get_fd_by_id(id));
    const auto info = fd.valid() ? link_info(fd.get()) : fail(Code::not_found, "link");
    if (info && stands_there(*info, place, state)) return fd;
  }
  return {};
}

// Our link on the device, with its pin restored; invalid when there is none.
UniqueFd find_ours(const XdpPlace& place, const XdpState& state, const std::string& path, const Pins& pins) {
  if (auto fd = open_pin(path)) {
    const auto info = link_info(fd->get());
    if (info && state.program_id != 0 && stands_there(*info, place, state)) return std::move(*fd);
    drop_link(path, fd->get());
  }
  if (state.program_id == 0 || !is_ours(state.program_id)) return {};
  Slot slot{.pin = path, .program_name = {}, .user = nullptr, .link = {}};
  UniqueFd fd = find_unpinned(place, state);
  const auto info = fd.valid() ? link_info(fd.get()) : fail(Code::not_found, "link");
  if (!info) return {};
  slot.link = Link{.fd = std::move(fd), .id = info->id, .program_id = info->program_id};
  std::ignore = restore_pin(slot, pins);
  return std::move(slot.link->fd);
}

Result<void> create(const XdpPlace& place, config::XdpMode mode, const LoadedProgram& program,
                    const std::string& path) {
  std::vector<__u32> flags;
  if (mode != config::XdpMode::generic) flags.push_back(XDP_FLAGS_DRV_MODE);
  if (mode != config::XdpMode::native) flags.push_back(XDP_FLAGS_SKB_MODE);
  int problem = 0;
  for (const auto each : flags) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = each);
    const UniqueFd fd(bpf_link_create(program.fd.get(), static_cast<int>(place.ifindex), BPF_XDP, &options));
    problem = errno;
    if (fd.valid()) return pin(fd.get(), path);
  }
  return fail_errno(problem, std::string("attach the XDP prefilter to ") + place.ifname +
                                 (mode == config::XdpMode::native ? " in native mode" : ""));
}

}  // namespace

Result<void> attach_xdp(const XdpPlace& place, config::XdpMode mode, const LoadedProgram& program, const Pins& pins) {
  const auto path = pins.link(place.ifname, Hook::xdp);
  auto state = query_xdp(place.ifindex);
  if (!state) return tl::make_unexpected(state.error());
  UniqueFd ours = find_ours(place, *state, path, pins);
  const bool wrong_mode =
      (mode == config::XdpMode::native && !state->native) || (mode == config::XdpMode::generic && state->native);
  if (ours.valid() && !wrong_mode) {
    if (state->program_id != program.info.id && bpf_link_update(ours.get(), program.fd.get(), nullptr) != 0) {
      return fail_errno(errno, "replace the XDP prefilter of " + place.ifname);
    }
    return {};
  }
  if (ours.valid()) {
    drop_link(path, ours.get());
  } else if (state->program_id != 0) {
    const auto info = program_info_by_id(state->program_id);
    return fail(Code::exists, "another XDP program (" + (info ? info->name + ", " : std::string()) + "id " +
                                  std::to_string(state->program_id) + ") is attached to " + place.ifname);
  }
  return create(place, mode, program, path);
}

void detach_xdp(const XdpPlace& place, const Pins& pins) {
  const auto path = pins.link(place.ifname, Hook::xdp);
  const auto ours = find_ours(place, query_xdp(place.ifindex).value_or(XdpState{}), path, pins);
  if (ours.valid()) drop_link(path, ours.get());
}

}  // namespace netkite::datapath
