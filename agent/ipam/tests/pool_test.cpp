// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/pool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace netkite::ipam {
namespace {

using ::testing::HasSubstr;

Pool pool(std::string_view prefix) { return Pool(Cidr::parse(prefix).value()); }
Ip ip(std::string_view text) { return Ip::parse(text).value(); }
std::string next(Pool& pool) { return pool.allocate().value().to_string(); }

TEST(Pool, LeavesOutNetworkAndBroadcast) {
  auto p = pool("10.244.1.0/29");
  EXPECT_EQ(p.capacity(), 6U);
  std::set<std::string> got;
  for (int i = 0; i < 6; ++i) got.insert(next(p));
  EXPECT_EQ(
      got, (std::set<std::string>{"10.244.1.1", "10.244.1.2", "10.244.1.3", "10.244.1.4", "10.244.1.5", "10.244.1.6"}));
}

TEST(Pool, LeavesOutOnlyTheAnycastAddressOfIpv6) {
  auto p = pool("fd00::/126");
  EXPECT_EQ(p.capacity(), 3U);
  EXPECT_EQ(next(p), "fd00::1");
  EXPECT_EQ(next(p), "fd00::2");
  EXPECT_EQ(next(p), "fd00::3");
  EXPECT_FALSE(p.allocate());
}

struct Small {
  std::string_view prefix;
  std::uint64_t capacity;
  std::string_view first;
};

TEST(Pool, UsesAllOfTinyPrefixes) {
  for (const auto& [prefix, capacity, first] :
       {Small{"192.0.2.4/31", 2, "192.0.2.4"}, Small{"192.0.2.4/32", 1, "192.0.2.4"},
        Small{"fd00::2/127", 2, "fd00::2"}, Small{"fd00::2/128", 1, "fd00::2"}}) {
    auto p = pool(prefix);
    EXPECT_EQ(p.capacity(), capacity) << prefix;
    EXPECT_EQ(next(p), first) << prefix;
    for (std::uint64_t i = 1; i < capacity; ++i) EXPECT_TRUE(p.allocate()) << prefix;
    EXPECT_FALSE(p.allocate()) << prefix;
  }
}

TEST(Pool, ExhaustionNamesPoolAndSize) {
  auto p = pool("10.0.0.0/30");
  EXPECT_TRUE(p.allocate());
  EXPECT_TRUE(p.allocate());
  const auto full = p.allocate();
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::exhausted);
  EXPECT_THAT(full.error().message, HasSubstr("10.0.0.0/30"));
  EXPECT_THAT(full.error().message, HasSubstr("2 addresses"));
}

TEST(Pool, AFreedAddressComesLast) {
  auto p = pool("10.0.0.0/29");
  EXPECT_EQ(next(p), "10.0.0.1");
  EXPECT_EQ(next(p), "10.0.0.2");
  p.release(ip("10.0.0.1"));
  for (const auto* expected : {"10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.1"})
    EXPECT_EQ(next(p), expected);
  EXPECT_FALSE(p.allocate());
  p.release(ip("10.0.0.5"));
  p.release(ip("10.0.0.3"));
  EXPECT_EQ(next(p), "10.0.0.3");
  EXPECT_EQ(next(p), "10.0.0.5");
}

TEST(Pool, AllocationSkipsReservations) {
  auto p = pool("10.0.0.0/29");
  EXPECT_TRUE(p.reserve(ip("10.0.0.1")));
  EXPECT_TRUE(p.reserve(ip("10.0.0.3")));
  EXPECT_EQ(p.taken(), 2U);
  EXPECT_EQ(next(p), "10.0.0.2");
  EXPECT_EQ(next(p), "10.0.0.4");
  const auto again = p.reserve(ip("10.0.0.4"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::exists);
}

TEST(Pool, RefusesWhatItNeverHandsOut) {
  auto p = pool("10.0.0.0/29");
  for (const auto* address : {"10.0.0.0", "10.0.0.7", "10.0.0.8", "fd00::1"}) {
    const auto reserved = p.reserve(ip(address));
    ASSERT_FALSE(reserved) << address;
    EXPECT_EQ(reserved.error().code, Code::invalid) << address;
  }
  auto six = pool("fd00::/64");
  EXPECT_FALSE(six.reserve(ip("fd00::")));
  EXPECT_TRUE(six.reserve(ip("fd00::ffff")));
}

TEST(Pool, WidePoolsAreCutNotConfused) {
  auto p = pool("fd00::/48");
  EXPECT_GE(p.capacity(), 1ULL << 62);
  EXPECT_EQ(next(p), "fd00::1");
  // Beyond the 63 bits that the pool counts: refused, and not mistaken for fd00::1.
  EXPECT_FALSE(p.reserve(ip("fd00:0:0:7::1")));
  EXPECT_FALSE(p.is_taken(ip("fd00:0:0:7::1")));
  p.release(ip("fd00:0:0:7::1"));
  EXPECT_TRUE(p.is_taken(ip("fd00::1")));
}

TEST(Pool, ReleaseToleratesAnything) {
  auto p = pool("10.0.0.0/29");
  p.release(ip("10.0.0.1"));
  p.release(ip("192.0.2.1"));
  p.release(ip("10.0.0.7"));
  EXPECT_EQ(p.taken(), 0U);
  EXPECT_EQ(next(p), "10.0.0.1");
}

}  // namespace
}  // namespace netkite::ipam
