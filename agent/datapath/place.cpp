// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/place.hpp"

#include <bpf/bpf.h>

#include <algorithm>

namespace netkite::datapath {
namespace {

bool claimed(const std::vector<Slot>& slots, std::uint32_t link_id) {
  return std::ranges::any_of(slots, [=](const Slot& slot) { return slot.link && slot.link->id == link_id; });
}

void find_by_pin(Slot& slot, const Chain& chain) {
  auto fd = open_pin(slot.pin);
  if (!fd) return;
  const auto info = link_info(fd->get());
  if (info && chain.has(info->id)) {
    slot.link = Link{.fd = std::move(*fd), .id = info->id, .program_id = info->program_id};
  } else {
    drop_link(slot.pin, fd->get());
  }
}

// A user's program may have any name: only the very same instructions count as its own.
bool is_program_of(const Slot& slot, const ProgramInfo& info) {
  return info.name == slot.program_name && (slot.user == nullptr || info.tag == slot.user->program.info.tag);
}

void find_by_program(Slot& slot, const std::vector<Slot>& slots, const Chain& chain) {
  for (const auto& entry : chain.entries) {
    if (entry.link_id == 0 || claimed(slots, entry.link_id)) continue;
    const auto info = program_info_by_id(entry.program_id);
    if (!info || !is_program_of(slot, *info)) continue;
    UniqueFd fd(bpf_link_get_fd_by_id(entry.link_id));
    if (!fd.valid()) continue;
    slot.link = Link{.fd = std::move(fd), .id = entry.link_id, .program_id = entry.program_id};
    return;
  }
}

}  // namespace

std::vector<Slot> slots_of(const Place& place, const Pins& pins, const Hooks& hooks) {
  std::vector<Slot> slots;
  const auto add_users = [&](config::HookOrder order) {
    if (!place.point) return;
    for (const auto* user : hooks.at(*place.point, order)) {
      slots.push_back({.pin = pins.user_hook(place.ifname, user->config.name),
                       .program_name = user->program.info.name,
                       .user = user,
                       .link = {}});
    }
  };
  add_users(config::HookOrder::before);
  if (place.ours) {
    slots.push_back({.pin = pins.link(place.ifname, place.hook),
                     .program_name = program_name(*place.ours),
                     .user = nullptr,
                     .link = {}});
  }
  add_users(config::HookOrder::after);
  return slots;
}

void find_links(std::vector<Slot>& slots, const Chain& chain) {
  for (auto& slot : slots) find_by_pin(slot, chain);
  for (auto& slot : slots) {
    if (!slot.link) find_by_program(slot, slots, chain);
  }
}

Result<void> restore_pin(const Slot& slot, const Pins& pins) {
  if (open_pin(slot.pin)) return {};
  for (const auto& path : pins.link_paths()) {
    const auto fd = open_pin(path);
    const auto info = fd ? link_info(fd->get()) : tl::make_unexpected(fd.error());
    if (info && info->id == slot.link->id) return rename_pin(path, slot.pin);
  }
  return pin(slot.link->fd.get(), slot.pin);
}

void drop_link(const std::string& pin, int link_fd) {
  unpin(pin);
  bpf_link_detach(link_fd);
}

}  // namespace netkite::datapath
