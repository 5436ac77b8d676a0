// SPDX-License-Identifier: Apache-2.0
#include "cli/check/pins.hpp"

#include <bpf/bpf.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::cli {
namespace {

namespace fs = std::filesystem;

void count(Pins& pins, const UniqueFd& object) {
  std::error_code error;
  // The kernel names the kind of a BPF object only in the descriptor's link text.
  const std::string kind = fs::read_symlink("/proc/self/fd/" + std::to_string(object.get()), error).string();
  if (kind == "anon_inode:bpf-map") {
    ++pins.maps;
  } else if (kind == "anon_inode:bpf-prog") {
    ++pins.programs;
    bpf_prog_info info{};
    __u32 size = sizeof(info);
    if (bpf_obj_get_info_by_fd(object.get(), &info, &size) == 0) pins.program_ids.insert(info.id);
  } else {
    ++pins.links;
    bpf_link_info info{};
    __u32 size = sizeof(info);
    if (bpf_obj_get_info_by_fd(object.get(), &info, &size) == 0) pins.program_ids.insert(info.prog_id);
  }
}

}  // namespace

Pins read_pins(const std::string& directory) {
  Pins pins;
  std::error_code error;
  fs::recursive_directory_iterator entries(directory, error);
  for (; !error && entries != fs::end(entries); entries.increment(error)) {
    if (!entries->is_regular_file()) continue;
    const std::string path = entries->path().string();
    const UniqueFd object(bpf_obj_get(path.c_str()));
    if (object.valid()) {
      count(pins, object);
    } else {
      pins.unreadable.push_back(fail_errno(errno, path).value().message);
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    pins.unreadable.push_back(directory + ": " + error.message());
  }
  return pins;
}

std::string program_name(std::uint32_t id) {
  const UniqueFd program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  __u32 size = sizeof(info);
  if (!program.valid() || bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) return "";
  return info.name;
}

}  // namespace netkite::cli
