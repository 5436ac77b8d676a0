// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/socket_links.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <ranges>
#include <sstream>

#include "agent/datapath/place.hpp"
#include "common/base/rollback.hpp"

namespace netkite::datapath {
namespace {

bpf_attach_type attach_type(ProgramKind kind) {
  switch (kind) {
    case ProgramKind::recvmsg4:
      return BPF_CGROUP_UDP4_RECVMSG;
    case ProgramKind::recvmsg6:
      return BPF_CGROUP_UDP6_RECVMSG;
    case ProgramKind::peername4:
      return BPF_CGROUP_INET4_GETPEERNAME;
    case ProgramKind::peername6:
      return BPF_CGROUP_INET6_GETPEERNAME;
    case ProgramKind::connect4:
      return BPF_CGROUP_INET4_CONNECT;
    case ProgramKind::connect6:
      return BPF_CGROUP_INET6_CONNECT;
    case ProgramKind::sendmsg4:
      return BPF_CGROUP_UDP4_SENDMSG;
    default:
      return BPF_CGROUP_UDP6_SENDMSG;
  }
}

bool is_cgroup2(const std::string& folder) {
  struct statfs info{};
  return ::statfs(folder.c_str(), &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
}

struct Group {
  std::string path;
  UniqueFd fd;
  std::uint64_t number = 0;
};

Result<Group> open_group(const std::string& path) {
  Group group{.path = path, .fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC))};
  struct stat info{};
  if (!group.fd.valid() || ::fstat(group.fd.get(), &info) != 0) return fail_errno(errno, "open " + path);
  group.number = info.st_ino;
  return group;
}

using Links = std::map<std::uint32_t, UniqueFd>;

// Our links on the group, by attach type, whether they have their pins or not.
Links links_on(const Group& group) {
  Links links;
  std::uint32_t id = 0;
  while (bpf_link_get_next_id(id, &id) == 0) {
    UniqueFd fd(bpf_link_get_fd_by_id(id));
    if (!fd.valid()) continue;
    const auto info = link_info(fd.get());
    if (!info || info->type != BPF_LINK_TYPE_CGROUP || info->cgroup != group.number) continue;
    const auto program = program_info_by_id(info->program_id);
    if (program && is_our_program(program->name)) links.insert_or_assign(info->attach_type, std::move(fd));
  }
  return links;
}

// One program of a group: the link that is there gets it, or a new one.
Result<UniqueFd> put(const Group& group, ProgramKind kind, const LoadedProgram& program, Links& known) {
  const auto what = program.info.name + " to " + group.path;
  auto found = known.extract(attach_type(kind));
  if (!found.empty()) {
    if (bpf_link_update(found.mapped().get(), program.fd.get(), nullptr) != 0) {
      return fail_errno(errno, "attach " + what);
    }
    return std::move(found.mapped());
  }
  UniqueFd link(bpf_link_create(program.fd.get(), group.fd.get(), attach_type(kind), nullptr));
  if (!link.valid()) return fail_errno(errno, "attach " + what);
  return link;
}

// Where a link to another group is pinned, this one takes its place.
Result<void> put_pin(int link, const std::string& path) {
  const auto mine = link_info(link);
  if (!mine) return tl::make_unexpected(mine.error());
  if (const auto pinned = open_pin(path)) {
    const auto other = link_info(pinned->get());
    if (other && other->id == mine->id) return {};
    drop_link(path, pinned->get());
  }
  return pin(link, path);
}

}  // namespace

Result<std::string> find_cgroup(const std::string& configured) {
  if (!configured.empty()) {
    if (is_cgroup2(configured)) return configured;
    return fail(Code::not_found, "services.cgroup: " + configured + " is no control group of version 2");
  }
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string place;
    for (int i = 0; i < 5; ++i) words >> place;
    // The root alone has no type. A container may see its own group in the root's place.
    std::error_code ignored;
    if (is_cgroup2(place) && !std::filesystem::exists(place + "/cgroup.type", ignored)) return place;
  }
  return fail(
      Code::not_found,
      "no version 2 hierarchy of control groups is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified, or "
      "set services.cgroup");
}

Result<void> attach_sockets(const std::string& cgroup, const Pins& pins, Programs& programs) {
  auto group = open_group(cgroup);
  if (!group) return tl::make_unexpected(group.error());
  auto known = links_on(*group);
  Rollback undo;
  for (const auto kind : kSocketPrograms) {
    const bool adopted = known.contains(attach_type(kind));
    const auto path = pins.socket(to_string(kind));
    const auto program = programs.get({.kind = kind, .netkit = false, .after_hooks = false});
    if (!program) return tl::make_unexpected(program.error());
    auto link = put(*group, kind, **program, known);
    if (!link) return tl::make_unexpected(link.error());
    if (auto pinned = put_pin(link->get(), path); !pinned) return tl::make_unexpected(pinned.error());
    if (adopted) continue;
    undo.add([path, fd = std::make_shared<UniqueFd>(std::move(*link))] { drop_link(path, fd->get()); });
  }
  undo.commit();
  return {};
}

// Those that ask go first: what they have begun is still answered.
void detach_sockets(const Pins& pins) {
  for (const auto kind : std::views::reverse(kSocketPrograms)) {
    const auto path = pins.socket(to_string(kind));
    if (const auto link = open_pin(path)) drop_link(path, link->get());
  }
}

}  // namespace netkite::datapath
