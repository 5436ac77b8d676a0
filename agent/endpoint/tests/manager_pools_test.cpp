// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "agent/endpoint/tests/manager_fixture.hpp"

namespace netkite::endpoint::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Cidr cidr(const char* text) { return Cidr::parse(text).value(); }
Ip ip(const char* text) { return Ip::parse(text).value(); }

TEST_F(ManagerTest, WithoutPoolsAnAddIsToBeTriedAgain) {
  options.pools.clear();
  restart();
  manager->suspend("not known yet");
  EXPECT_EQ(prepare(pod("a")).error().code, Code::unavailable);
  EXPECT_THAT(prepare(pod("a")).error().message, HasSubstr("not known yet"));
  ASSERT_TRUE(manager->set_pools({cidr("fd00::/64"), cidr("10.1.0.0/24")}));
  manager->suspend("");
  // In the order of the pools.
  EXPECT_THAT(prepare(pod("a"))->addresses, ElementsAre(ip("fd00::1"), ip("10.1.0.1")));
}

TEST_F(ManagerTest, PoolsInUseDoNotGo) {
  add(pod("a"));
  const auto refused = manager->set_pools({cidr("10.9.0.0/24"), cidr("fd00::/64")});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("1 pods"));
  EXPECT_EQ(manager->pools().front().prefix, cidr("10.0.0.0/29"));
  int taken = 0;
  manager->follow_ends([&] { taken += manager->set_pools({cidr("10.9.0.0/24")}) ? 1 : 0; });
  ASSERT_TRUE(manager->remove_end({.attachment = pod("a")}));
  EXPECT_EQ(taken, 1) << "who waits for them hears of it at once";
  EXPECT_THAT(prepare(pod("b"))->addresses, ElementsAre(ip("10.9.0.1")));
}

TEST_F(ManagerTest, NewPoolsKnowTheAddressesThatAreTaken) {
  add(pod("a"));  // 10.0.0.1
  ASSERT_TRUE(manager->set_pools({cidr("10.0.0.0/24"), cidr("fd00::/64")}));
  EXPECT_EQ(manager->pools().front().taken, 1U);
  EXPECT_THAT(prepare(pod("b"))->addresses.front(), ip("10.0.0.2"));
}

}  // namespace
}  // namespace netkite::endpoint::testing
