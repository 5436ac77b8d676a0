// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/netns.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "common/netlink/link.hpp"
#include "common/netlink/tests/test_namespaces.hpp"

namespace netkite::netlink {
namespace {

using ::testing::HasSubstr;

TEST(Netns, WorkRunsInsideAndTheCallerStaysOutside) {
  const UniqueFd netns = make_netns();
  ASSERT_TRUE(netns.valid());
  const NetnsId before = must(current_netns());
  NetnsId inside;
  must(in_netns(netns.get(), [&]() -> Result<void> {
    inside = must(current_netns());
    return {};
  }));
  EXPECT_EQ(inside, must(identify_netns(netns.get())));
  EXPECT_NE(inside, before);
  EXPECT_EQ(must(current_netns()), before);
}

TEST(Netns, TheErrorOfTheWorkComesBack) {
  const UniqueFd netns = make_netns();
  ASSERT_TRUE(netns.valid());
  const auto result = in_netns(netns.get(), []() -> Result<void> { return fail(Code::exhausted, "full"); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::exhausted);
  EXPECT_FALSE(in_netns(-1, []() -> Result<void> { return {}; }));
  EXPECT_FALSE(Socket::open_in(-1));
}

TEST(Netns, OpensNetworkNamespacesOnly) {
  std::string folder = ::testing::TempDir() + "netkite-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string fifo = folder + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const struct {
    std::string path;
    Code code;
  } cases[] = {
      {folder + "/missing", Code::not_found}, {folder, Code::invalid},           {fifo, Code::invalid},
      {"/proc/self/ns/mnt", Code::invalid},   {"/proc/self/exe", Code::invalid}, {"", Code::not_found},
  };
  for (const auto& each : cases) {
    const auto opened = open_netns(each.path);
    ASSERT_FALSE(opened) << each.path;
    EXPECT_EQ(opened.error().code, each.code) << opened.error().message;
    EXPECT_THAT(opened.error().message, HasSubstr(each.path));
  }
  EXPECT_TRUE(open_netns("/proc/self/ns/net"));
  EXPECT_FALSE(identify_netns(-1));
  ::unlink(fifo.c_str());
  ::rmdir(folder.c_str());
}

}  // namespace
}  // namespace netkite::netlink
