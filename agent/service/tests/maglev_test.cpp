// SPDX-License-Identifier: Apache-2.0
#include "agent/service/maglev.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <random>

#include "agent/service/tests/fixture.hpp"

namespace netkite::service {
namespace {

// Pods as a cluster numbers them: neighbours, on several nodes, on one port.
std::vector<Member> pods(std::uint32_t count, std::uint16_t port = 8080, std::uint32_t base = 0x0af40000U) {
  std::vector<Member> members;
  for (std::uint32_t i = 0; i < count; ++i) {
    members.push_back({.address = Ip::v4(base + (i % 7) * 256 + i / 7 + 2), .port = port, .id = i + 1});
  }
  return members;
}

std::map<std::uint32_t, std::size_t> shares(const std::vector<std::uint32_t>& table) {
  std::map<std::uint32_t, std::size_t> counts;
  for (const auto id : table) ++counts[id];
  return counts;
}

TEST(Maglev, SizesArePrimesWithRoomForEachBackend) {
  EXPECT_EQ(places_for(0), 0U);
  std::uint32_t before = 0;
  for (const auto count : {1U, 2U, 3U, 10U, 11U, 40U, 41U, 163U, 164U, 655U, 656U, 2621U, 2622U, 10485U, 100'000U}) {
    const auto places = places_for(count);
    EXPECT_GE(places, std::min(100 * count, 1'048'573U)) << count;
    EXPECT_GE(places, before);
    for (std::uint32_t i = 2; i * i <= places; ++i) EXPECT_NE(places % i, 0U) << places << " / " << i;
    before = places;
  }
  EXPECT_EQ(places_for(1), 251U);
  EXPECT_EQ(places_for(10), 1021U);
  EXPECT_EQ(places_for(100), 16381U);
}

TEST(Maglev, OneBackendHasAll) {
  EXPECT_THAT(maglev_table(pods(1), 251), ::testing::AllOf(::testing::SizeIs(251), ::testing::Each(1U)));
}

// Another node knows other identifiers, and hears of backends in another order.
TEST(Maglev, EveryNodeComputesTheSameTable) {
  auto members = pods(37);
  members.push_back({.address = ip("fd00::1"), .port = 8080, .id = 38});
  members.push_back({.address = members.front().address, .port = 8081, .id = 39});
  const auto table = maglev_table(members, places_for(members.size()));
  std::minstd_rand random(7);
  for (int i = 0; i < 5; ++i) {
    std::ranges::shuffle(members, random);
    EXPECT_EQ(maglev_table(members, places_for(members.size())), table);
  }
  for (auto& each : members) each.id += 1000;
  auto expected = table;
  for (auto& id : expected) id += 1000;
  EXPECT_EQ(maglev_table(members, places_for(members.size())), expected);
}

// The table is part of what nodes of different versions agree on: a change of it moves clients while nodes are renewed.
TEST(Maglev, TheTableIsThisOneForEver) {
  const auto table = maglev_table(pods(3), 1021);
  EXPECT_EQ(std::vector<std::uint32_t>(table.begin(), table.begin() + 16),
            (std::vector<std::uint32_t>{2, 1, 3, 3, 2, 1, 3, 1, 2, 1, 3, 2, 1, 3, 3, 2}));
}

TEST(Maglev, SharesAreEven) {
  for (const std::uint32_t count : {2U, 3U, 10U, 11U, 100U, 655U}) {
    const auto counts = shares(maglev_table(pods(count), places_for(count)));
    ASSERT_EQ(counts.size(), count);
    const auto [least, most] = std::ranges::minmax_element(counts, {}, [](const auto& each) { return each.second; });
    // They take turns.
    EXPECT_LE(most->second - least->second, 1U) << count;
  }
}

// The places of others that change hands when one of `members` goes, as a share of all.
double moved(const std::vector<Member>& members, std::size_t gone) {
  auto rest = members;
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(gone));
  const auto places = places_for(members.size());
  const auto before = maglev_table(members, places);
  const auto after = maglev_table(rest, places_for(rest.size()));
  std::size_t count = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] != members[gone].id && before[i] != after.at(i)) ++count;
  }
  return static_cast<double>(count) / static_cast<double>(places);
}

TEST(Maglev, WhenOneOfAHundredGoesNearlyAllOthersKeepTheirClients) {
  for (const std::uint32_t base : {0x0af40000U, 0xc0a80000U, 0x64400000U}) {
    const auto members = pods(100, 8080, base);
    double most = 0;
    for (std::size_t gone = 0; gone < members.size(); ++gone) most = std::max(most, moved(members, gone));
    EXPECT_LE(most, 0.02) << most;
  }
}

}  // namespace
}  // namespace netkite::service
