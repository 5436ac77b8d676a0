// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/pins.hpp"

#include <bpf/bpf.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

namespace netkite::datapath {
namespace {

constexpr std::string_view kUserHook = ":hook-";

std::string device_part(std::string_view ifname) {
  std::string text(ifname);
  std::ranges::replace(text, '.', ':');
  return text;
}

std::vector<std::filesystem::path> entries_of(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code problem;
  std::filesystem::directory_iterator entry(folder, problem);
  for (; !problem && entry != std::filesystem::directory_iterator(); entry.increment(problem)) {
    paths.push_back(entry->path());
  }
  return paths;
}

}  // namespace

Result<Pins> Pins::open(const std::string& bpffs) {
  namespace fs = std::filesystem;
  std::error_code problem;
  fs::path existing(bpffs);
  while (!fs::exists(existing, problem) && existing.has_relative_path()) existing = existing.parent_path();
  struct statfs info{};
  if (::statfs(existing.c_str(), &info) != 0) return fail_errno(errno, "bpffs: " + existing.string());
  if (static_cast<unsigned long>(info.f_type) != BPF_FS_MAGIC) {
    return fail(Code::invalid, "bpffs: " + bpffs + " is not on a BPF file system: mount -t bpf bpf /sys/fs/bpf");
  }
  for (const char* folder : {"maps", "links", "guard", "sockets", "user"}) {
    fs::create_directories(fs::path(bpffs) / folder, problem);
    if (problem) return fail_errno(problem.value(), "bpffs: create " + bpffs + "/" + folder);
  }
  return Pins(bpffs);
}

std::string Pins::map(std::string_view name) const { return root_ + "/maps/" + std::string(name); }

std::string Pins::link(std::string_view ifname, Hook hook) const {
  return root_ + "/links/" + device_part(ifname) + ":" + std::string(to_string(hook));
}

std::string Pins::user_hook(std::string_view ifname, std::string_view hook_name) const {
  return root_ + "/links/" + device_part(ifname) + std::string(kUserHook) + std::string(hook_name);
}

std::string Pins::guard(std::string_view function) const { return root_ + "/guard/" + std::string(function); }

std::string Pins::socket(std::string_view program) const { return root_ + "/sockets/" + std::string(program); }

std::string Pins::user_maps(std::string_view hook_name) const { return root_ + "/user/" + std::string(hook_name); }

void Pins::remove_user_maps(const std::function<bool(std::string_view hook_name)>& keep) const {
  for (const auto& folder : entries_of(root_ + "/user")) {
    std::error_code ignored;
    if (!keep(folder.filename().string())) std::filesystem::remove_all(folder, ignored);
  }
}

std::vector<std::string> Pins::link_paths() const {
  std::vector<std::string> paths;
  for (const auto& path : entries_of(root_ + "/links")) paths.push_back(path.string());
  return paths;
}

std::string Pins::user_hook_name(std::string_view path) {
  const auto at = path.rfind(kUserHook);
  if (at == std::string_view::npos) return {};
  const auto name = path.substr(at + kUserHook.size());
  return name.find_first_of(":/") == std::string_view::npos ? std::string(name) : std::string();
}

Result<UniqueFd> open_pin(const std::string& path) {
  UniqueFd fd(bpf_obj_get(path.c_str()));
  if (!fd.valid()) return fail_errno(errno, "open pin " + path);
  return fd;
}

Result<void> pin(int fd, const std::string& path) {
  if (bpf_obj_pin(fd, path.c_str()) != 0) return fail_errno(errno, "pin " + path);
  return {};
}

Result<void> rename_pin(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) return fail_errno(errno, "rename pin " + from + " to " + to);
  return {};
}

void unpin(const std::string& path) { ::unlink(path.c_str()); }

}  // namespace netkite::datapath
