// SPDX-License-Identifier: Apache-2.0
#include "agent/app/cleanup.hpp"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>
#include <filesystem>

#include "agent/app/process.hpp"
#include "agent/node/node.hpp"

namespace netkite::app {
namespace {

// Links and maps live as long as their pins. Nothing is deleted on a file system of another kind.
Result<void> remove_pins(const std::string& bpffs) {
  struct statfs system{};
  if (::statfs(bpffs.c_str(), &system) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(errno, "statfs " + bpffs);
  }
  if (system.f_type != BPF_FS_MAGIC) return fail(Code::invalid, "bpffs: " + bpffs + " is not on a BPF file system");
  std::error_code error;
  std::filesystem::remove_all(bpffs, error);
  if (error) return fail_errno(error.value(), "remove " + bpffs);
  return {};
}

}  // namespace

Result<void> clean_up(const config::Options& options) {
  const auto lock = lock_instance(options.run_dir);
  if (!lock) return tl::make_unexpected(lock.error());
  const auto pins = remove_pins(options.bpffs);
  const auto node = node::remove_all(options);
  return pins ? node : pins;
}

}  // namespace netkite::app
