// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/netns.hpp"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>
#include <thread>

namespace netkite::netlink {
namespace {

Result<void> require_netns(int fd, const std::string& name) {
  if (::ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET) return {};
  return fail(Code::invalid, name + " is not a network namespace");
}

}  // namespace

Result<UniqueFd> open_netns(const std::string& path) {
  // O_NONBLOCK: a path that is a FIFO by mistake must not hold us.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid() && errno == ENXIO) return fail(Code::invalid, path + " is not a network namespace");  // a socket
  if (!fd.valid()) return fail_errno(errno, "open " + path);
  if (auto good = require_netns(fd.get(), path); !good) return tl::make_unexpected(std::move(good.error()));
  return fd;
}

Result<NetnsId> identify_netns(int netns_fd) {
  if (auto good = require_netns(netns_fd, "descriptor " + std::to_string(netns_fd)); !good) {
    return tl::make_unexpected(std::move(good.error()));
  }
  struct stat status{};
  if (::fstat(netns_fd, &status) != 0) return fail_errno(errno, "fstat a network namespace");
  return NetnsId{.device = status.st_dev, .inode = status.st_ino};
}

Result<NetnsId> current_netns() {
  auto fd = open_netns("/proc/thread-self/ns/net");
  if (!fd) return tl::make_unexpected(std::move(fd.error()));
  return identify_netns(fd->get());
}

Result<void> in_netns(int netns_fd, const std::function<Result<void>()>& work) {
  Result<void> outcome;
  try {
    std::thread thread([&] {
      if (::setns(netns_fd, CLONE_NEWNET) != 0) {
        outcome = fail_errno(errno, "enter the network namespace");
      } else {
        outcome = work();
      }
    });
    thread.join();
  } catch (const std::system_error& error) {
    return fail_errno(error.code().value(), "start a thread");
  }
  return outcome;
}

}  // namespace netkite::netlink
