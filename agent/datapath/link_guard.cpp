// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/link_guard.hpp"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

constexpr std::uint32_t kGuardsOwn = 0;  // in the place of a pod's device

}  // namespace

LinkGuard::LinkGuard(Programs& programs, bool netkit) {
  std::vector<const char*> functions = {"bpf_tracing_link_release", "tcx_link_release"};
  if (netkit) functions.push_back("netkit_link_release");
  for (const auto* function : functions) {
    const auto program =
        programs.get({.kind = ProgramKind::guard, .netkit = false, .after_hooks = false, .traced = function});
    if (!program) {
      give_up(program.error());
      return;
    }
    posts_.push_back({.function = function, .program = *program});
  }
}

void LinkGuard::give_up(const Error& error) {
  stands_ = false;
  posts_.clear();
  const auto why = error.os_error != 0 ? std::generic_category().message(error.os_error) : error.message;
  missing_ = "tracing programs: not in this kernel, or refused: " + why +
             " (CONFIG_DEBUG_INFO_BTF=y, CONFIG_FUNCTION_TRACER=y, no lockdown); packets from other nodes take the way "
             "through a pod's device";
}

void LinkGuard::attach(const Pins& pins, const MapStore& maps) {
  if (posts_.empty()) return;
  auto map = TypedMap<std::uint32_t, std::uint32_t>::open(maps, kGuard);
  if (!map) return give_up(map.error());
  map_ = std::move(*map);
  for (const auto& post : posts_) {
    if (auto done = attach_one(post, pins); !done) return give_up(done.error());
  }
  stands_ = true;
}

Result<void> LinkGuard::attach_one(const Post& post, const Pins& pins) {
  const auto path = pins.guard(post.function);
  const auto fresh_path = path + "_new";
  const UniqueFd fresh(bpf_link_create(post.program->fd.get(), 0, BPF_TRACE_FENTRY, nullptr));
  if (!fresh.valid()) return fail_errno(errno, std::string("attach to ") + post.function);
  unpin(fresh_path);
  if (auto done = pin(fresh.get(), fresh_path); !done) return done;
  const auto info = link_info(fresh.get());
  if (!info) return tl::make_unexpected(info.error());
  if (auto done = map_.update(info->id, kGuardsOwn); !done) return done;
  own_links_.push_back(info->id);

  // The one before goes with its pin, and must not be missed.
  if (const auto former = open_pin(path)) {
    const auto old = link_info(former->get());
    if (!old) return tl::make_unexpected(old.error());
    if (auto done = map_.erase(old->id); !done) return tl::make_unexpected(done.error());
  }
  return rename_pin(fresh_path, path);
}

Result<bool> LinkGuard::watch(std::uint32_t host_ifindex, std::initializer_list<std::uint32_t> link_ids) const {
  if (!stands_) return false;
  for (const auto id : link_ids) {
    if (auto done = map_.update(id, host_ifindex); !done) return tl::make_unexpected(done.error());
  }
  return true;
}

Result<void> LinkGuard::purge(const std::function<bool(std::uint32_t link_id)>& lives) const {
  if (!stands_) return {};
  const auto entries = map_.entries();
  if (!entries) return tl::make_unexpected(entries.error());
  for (const auto& [id, ifindex] : *entries) {
    if (ifindex == kGuardsOwn ? std::ranges::count(own_links_, id) != 0 : lives(id)) continue;
    if (auto done = map_.erase(id); !done) return tl::make_unexpected(done.error());
  }
  return {};
}

}  // namespace netkite::datapath
