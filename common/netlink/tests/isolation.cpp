// SPDX-License-Identifier: Apache-2.0
// The whole test program leaves the machine's network namespace before its first test: should the code under test fail
// to enter the namespace that it was given, its devices and routes end up in one that nobody uses.
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace netkite::netlink {
namespace {

class Isolation : public ::testing::Environment {
 public:
  void SetUp() override {
    ASSERT_EQ(::geteuid(), 0U) << "needs root (network namespaces)";
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << "no network namespace (CONFIG_NET_NS): " << std::strerror(errno);
  }
};

// GoogleTest takes ownership. Without its SetUp having succeeded no test runs.
[[maybe_unused]] const ::testing::Environment* const kIsolation =
    ::testing::AddGlobalTestEnvironment(new Isolation);  // NOLINT(cppcoreguidelines-owning-memory)

}  // namespace
}  // namespace netkite::netlink
