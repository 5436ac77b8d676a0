// SPDX-License-Identifier: Apache-2.0
// Throw-away network namespaces for tests: they live as long as their descriptors.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <thread>

#include "common/base/unique_fd.hpp"
#include "common/netlink/socket.hpp"

namespace netkite::netlink {

// A new namespace; invalid descriptor when that failed.
inline UniqueFd make_netns() {
  UniqueFd fd;
  std::thread([&fd] {
    if (::unshare(CLONE_NEWNET) == 0) fd = UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  return fd;
}

// Two fresh namespaces for each test, "host" and "pod", with a socket in each. The program as a whole is in a third one
// (isolation.cpp).
class TwoNamespaces : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(host_netns_.valid() && pod_netns_.valid()) << "no network namespaces (CONFIG_NET_NS)";
    auto host = Socket::open_in(host_netns_.get());
    auto pod = Socket::open_in(pod_netns_.get());
    ASSERT_TRUE(host) << host.error().message;
    ASSERT_TRUE(pod) << pod.error().message;
    host_.emplace(*std::move(host));
    pod_.emplace(*std::move(pod));
  }

  Socket& host() { return *host_; }
  Socket& pod() { return *pod_; }
  [[nodiscard]] int pod_netns() const { return pod_netns_.get(); }
  [[nodiscard]] int host_netns() const { return host_netns_.get(); }

 private:
  UniqueFd host_netns_ = make_netns(), pod_netns_ = make_netns();
  std::optional<Socket> host_, pod_;
};

// The value, or a test failure with the error's words.
template <typename T>
T must(Result<T> result) {
  if (!result) ADD_FAILURE() << result.error().message;
  return result ? *std::move(result) : T{};
}
inline void must(const Result<void>& result) {
  if (!result) ADD_FAILURE() << result.error().message;
}

}  // namespace netkite::netlink
