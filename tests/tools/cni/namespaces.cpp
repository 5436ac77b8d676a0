// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/cni/namespaces.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "common/base/unique_fd.hpp"
#include "tests/tools/arguments.hpp"

namespace netkite::cni {
namespace {

constexpr const char* kFolder = "/run/netns";

// Empty on success.
std::string make_one(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  if (!file.valid()) return path + ": " + std::strerror(errno);
  if (unshare(CLONE_NEWNET) != 0) return std::string("unshare: ") + std::strerror(errno);
  const std::string self = "/proc/self/task/" + std::to_string(gettid()) + "/ns/net";
  if (mount(self.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) return path + ": " + std::strerror(errno);
  return {};
}

}  // namespace

Namespaces::Namespaces(const std::string& prefix, std::size_t count) {
  mkdir(kFolder, 0755);
  std::string error;
  for (std::size_t i = 0; i < count; ++i) {
    paths_.push_back(std::string(kFolder) + "/" + prefix + "-" + std::to_string(i));
    // The thread is the one that changes namespace, and it ends with it.
    std::thread([&] { error = make_one(paths_.back()); }).join();
    if (!error.empty()) break;
  }
  if (error.empty()) return;
  this->~Namespaces();
  tools::die("network namespace " + error);
}

Namespaces::~Namespaces() {
  for (const auto& path : paths_) {
    umount2(path.c_str(), MNT_DETACH);
    unlink(path.c_str());
  }
}

}  // namespace netkite::cni
