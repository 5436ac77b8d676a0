// SPDX-License-Identifier: Apache-2.0
// What becomes old in the table of connections, how soon, and what a look at it may not break.
#include <filesystem>
#include <set>

#include "agent/datapath/tests/connections_fixture.hpp"

namespace netkite::datapath::lab {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

TEST_F(ConnectionsTest, WhatIsOldGoesInBothDirections) {
  const Sample alive{.number = 1, .silent_s = 7000}, silent{.number = 2, .silent_s = 8001};
  const Sample opening{.number = 3, .silent_s = 31, .there = NK_CT_SYN}, fresh{.number = 4, .there = NK_CT_SYN};
  const Sample echo{.number = 5, .silent_s = 31, .protocol = IPPROTO_ICMPV6, .v6 = true};
  const Sample pod{.number = 6, .silent_s = 100, .protocol = IPPROTO_UDP, .use = NK_CT_MASQUERADE};
  for (const auto& each : {alive, silent, opening, fresh, echo, pod}) put(each);
  sweep();
  for (const auto& each : {alive, fresh, pod}) EXPECT_EQ(directions(each), 2) << each.number;
  for (const auto& each : {silent, opening, echo}) EXPECT_EQ(directions(each), 0) << each.number;
  EXPECT_EQ(map_.counts().entries, 6U);
  EXPECT_EQ(map_.counts().max_entries, kRoom);
  EXPECT_EQ(map_.counts().expired, 3U);
  EXPECT_EQ(counted("service", "TCP"), 2U);
  EXPECT_EQ(counted("masquerade", "UDP"), 1U);
  EXPECT_EQ(counted("service", "ICMPv6"), 0U);
  EXPECT_THAT(map_.counts().kinds, SizeIs(12));
}

TEST_F(ConnectionsTest, WhatIsAnsweredElsewhereHasOneDirectionAndItsOwnTime) {
  const auto direct = [this](std::uint32_t number, std::uint64_t silent_s, std::uint8_t seen) {
    const Sample sample{.number = number, .silent_s = silent_s, .there = seen, .use = NK_CT_DIRECT};
    const auto keys = keys_of(sample);
    write(keys.there, other_way(keys.back), sample, false, BPF_ANY);
    return sample;
  };
  const auto in_use = direct(1, 7000, kBothOpen), silent = direct(2, 8001, kBothOpen);
  const auto done = direct(3, 100, kBothOpen | NK_CT_FIN), done_long_ago = direct(4, 121, kBothOpen | NK_CT_FIN);
  sweep();
  for (const auto& each : {in_use, done}) EXPECT_EQ(directions(each), 1) << each.number;
  for (const auto& each : {silent, done_long_ago}) EXPECT_EQ(directions(each), 0) << each.number;
  EXPECT_EQ(map_.counts().entries, 2U);
  EXPECT_EQ(counted("direct", "TCP"), 2U);
}

TEST_F(ConnectionsTest, WhatADepartedPodHadGoesWithAWholeRoundAndNoLater) {
  const auto put_many = [this] {
    for (std::uint32_t number = 1; number <= 2000; ++number) put({.number = number, .v6 = number % 2 == 0});
  };
  const auto left = [this] { return map_.counts().entries; };
  put_many();
  ASSERT_TRUE(ok(map_.sweep(kNow)));
  ASSERT_TRUE(ok(map_.depart({ip("10.77.1.2"), ip("10.77.1.9")})));
  EXPECT_GT(sweep(), 1) << "the rest of this round";
  put_many();  // where this round has been already
  sweep();
  EXPECT_EQ(left(), 2000U) << "the other family's";
  for (std::uint32_t number = 1; number <= 2000; ++number)
    ASSERT_EQ(directions({.number = number, .v6 = number % 2 == 0}), number % 2 == 0 ? 2 : 0);
  put_many();
  sweep();
  EXPECT_EQ(left(), 4000U) << "somebody else's by now";
  EXPECT_EQ(map_.counts().expired, 0U);
}

TEST_F(ConnectionsTest, WhoGetsADepartedPodsAddressGetsNothingElseOfIt) {
  put({.number = 1});
  put({.number = 2, .v6 = true});
  ASSERT_TRUE(ok(map_.depart({ip("10.77.1.2")})));
  map_ = ConnectionMap::open(*store_, folder("departed")).value();  // the next agent's
  ASSERT_TRUE(ok(map_.arrive({ip("10.77.1.3")})));
  EXPECT_EQ(directions({.number = 1}), 2) << "nobody has it yet";
  ASSERT_TRUE(ok(map_.arrive({ip("fd77::3"), ip("10.77.1.2")})));
  EXPECT_EQ(directions({.number = 1}), 0);
  EXPECT_EQ(directions({.number = 2, .v6 = true}), 2);
  put({.number = 1});
  ASSERT_TRUE(ok(map_.arrive({ip("10.77.1.2")})));
  map_ = ConnectionMap::open(*store_, folder("departed")).value();
  sweep();
  EXPECT_EQ(directions({.number = 1}), 2) << "its own by now";
}

TEST_F(ConnectionsTest, WhoHasGoneIsSweptInAHurryAndForgottenAfterwards) {
  put({.number = 1});
  EXPECT_FALSE(map_.sweep(kNow).value().hurry);
  ASSERT_TRUE(ok(map_.depart({ip("10.77.1.2")})));
  EXPECT_TRUE(map_.sweep(kNow).value().hurry) << "the round that was under way";
  EXPECT_FALSE(map_.sweep(kNow).value().hurry);
  EXPECT_EQ(directions({.number = 1}), 0);
  put({.number = 1});
  map_ = ConnectionMap::open(*store_, folder("departed")).value();
  sweep();
  EXPECT_EQ(directions({.number = 1}), 2);
}

TEST_F(ConnectionsTest, WhoDepartsWithoutAPlaceForItIsWrittenDownOnceThereIsOne) {
  put({.number = 1});
  map_ = ConnectionMap::open(*store_, folder("none/departed")).value();
  EXPECT_FALSE(map_.depart({ip("10.77.1.2")}));
  const auto refused = map_.sweep(kNow);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr(folder("none/departed")));
  EXPECT_EQ(directions({.number = 1}), 0) << "departed all the same";
  EXPECT_FALSE(map_.depart({ip("10.77.1.2")}));
  std::filesystem::create_directory(folder("none"));
  sweep();
  put({.number = 1});
  map_ = ConnectionMap::open(*store_, folder("none/departed")).value();  // the next agent's
  sweep();
  EXPECT_EQ(directions({.number = 1}), 0);
}

TEST_F(ConnectionsTest, OneDirectionThatSpeaksKeepsBoth) {
  const Sample sample{.number = 1, .silent_s = 9000};
  put(sample);
  const auto keys = keys_of(sample);
  write(keys.back, other_way(keys.there), {.number = 1}, true, BPF_ANY);
  sweep();
  EXPECT_EQ(directions(sample), 2);
}

TEST_F(ConnectionsTest, HalfAConnectionGoesSoonButNotAtOnce) {
  // As a program leaves them that could not finish; and one that has been in use.
  const auto begun = [](std::uint32_t number, std::uint64_t silent_s) {
    return Sample{.number = number, .silent_s = silent_s, .there = NK_CT_SYN, .back = 0};
  };
  const auto young = begun(1, 0), old = begun(2, 6), old_reply = begun(3, 6);
  const Sample used{.number = 4, .silent_s = 3000}, used_long_ago{.number = 5, .silent_s = 3700};
  for (const auto& each : {young, old, old_reply, used, used_long_ago}) put(each);
  erase(keys_of(used).there);
  erase(keys_of(used_long_ago).there);
  erase(keys_of(young).there);
  erase(keys_of(old).back);
  erase(keys_of(old_reply).there);
  sweep();
  EXPECT_EQ(directions(young), 1);
  EXPECT_EQ(directions(old), 0);
  EXPECT_EQ(directions(old_reply), 0);
  EXPECT_EQ(directions(used), 1);
  EXPECT_EQ(directions(used_long_ago), 0);
}

TEST_F(ConnectionsTest, WhatAnEarlierConnectionHasLeftDoesNotTakeItsHeirAlong) {
  const Sample earlier{.number = 1, .silent_s = 9000}, heir{.number = 2};
  put(earlier);
  put(heir);
  const auto old_keys = keys_of(earlier), new_keys = keys_of(heir);
  // The client's first port leads to the answers of the second.
  erase(new_keys.there);
  write(new_keys.back, other_way(old_keys.there), heir, true, BPF_ANY);
  write(old_keys.there, other_way(new_keys.back), {.number = 1, .silent_s = 9000}, false, BPF_ANY);
  sweep();
  EXPECT_FALSE(has(old_keys.back));
  EXPECT_TRUE(has(old_keys.there));
  EXPECT_TRUE(has(new_keys.back));
}

TEST_F(ConnectionsTest, ALongTableTakesManyStepsAndEachEntryIsSeenOnce) {
  constexpr std::uint32_t kMany = 2500;
  for (std::uint32_t i = 1; i <= kMany; ++i) put({.number = i, .silent_s = i % 2 == 0 ? 9000U : 1U});
  EXPECT_GT(sweep(), 5);
  EXPECT_EQ(map_.counts().entries, kMany);  // half of twice as many
  EXPECT_EQ(map_.counts().expired, kMany / 2);
  std::set<std::uint16_t> clients;
  const auto all = list();
  EXPECT_THAT(all, SizeIs(kMany));
  for (const auto& entry : all) {
    if (!entry.reply) clients.insert(entry.from.source_port);
  }
  EXPECT_THAT(clients, SizeIs(kMany / 2));
  EXPECT_EQ(sweep(), 5);
  EXPECT_EQ(map_.counts().expired, kMany / 2);
}

TEST_F(ConnectionsTest, AFloodThatNobodyHasAnsweredMakesRoom) {
  for (std::uint32_t i = 1; i <= kRoom / 2 * 31 / 32; ++i) put({.number = i, .silent_s = 3, .there = NK_CT_SYN});
  const Sample good{.number = 65'000, .silent_s = 3}, new_one{.number = 65'001, .there = NK_CT_SYN};
  put(good);
  put(new_one);
  const auto first = map_.sweep(kNow);
  ASSERT_TRUE(ok(first));
  EXPECT_FALSE(first->hurry);
  // It is known before the first round is over how full the table is.
  bool hurried = false;
  for (int i = 0; i < 40; ++i) {
    const auto step = map_.sweep(kNow);
    ASSERT_TRUE(ok(step));
    hurried |= step->hurry;
  }
  EXPECT_TRUE(hurried);
  sweep();
  EXPECT_EQ(directions(good), 2);
  EXPECT_EQ(directions(new_one), 2);
  EXPECT_EQ(map_.counts().entries, 4U);
}

TEST_F(ConnectionsTest, ATableFullOfEstablishedConnectionsIsNoReasonToHurry) {
  for (std::uint32_t i = 1; i <= kRoom / 2 * 31 / 32; ++i) put({.number = i, .silent_s = 3000});
  for (int i = 0; i < 40; ++i) EXPECT_FALSE(map_.sweep(kNow).value().hurry);
}

TEST_F(ConnectionsTest, WhereAPortIsWantedWhatNobodyHasAnsweredGoesSooner) {
  const Sample waiting{.number = 1, .silent_s = 3, .there = NK_CT_SYN}, good{.number = 2, .silent_s = 3};
  const auto left_after = [&](std::uint64_t refused) {
    put(waiting);
    put(good);
    while (!map_.sweep(kNow, refused).value().round_over) continue;
    return std::vector{directions(waiting), directions(good)};
  };
  // What a former agent has seen refused is no news.
  EXPECT_THAT(left_after(100), ElementsAre(2, 2));
  EXPECT_THAT(left_after(101), ElementsAre(0, 2));
  EXPECT_THAT(left_after(101), ElementsAre(0, 2));
  EXPECT_THAT(left_after(101), ElementsAre(2, 2));
}

TEST_F(ConnectionsTest, WhatAPacketHasRenewedMeanwhileGoesBack) {
  using Fate = ConnectionMap::Fate;
  const Sample old{.number = 1, .silent_s = 9000}, renewed{.number = 1};
  const Sample reset{.number = 1, .silent_s = 9000, .back = kBothOpen | NK_CT_RST};
  const auto keys = keys_of(old);
  const auto look = [&](const nk_tuple& key) {
    nk_connection value{};
    EXPECT_EQ(bpf_map_lookup_elem(table_, &key, &value), 0);
    return map_.pair_of({key, value}).value();
  };
  // Looked at from either end, and a packet of either direction comes, or nothing but a flag.
  for (const auto& key : {keys.there, keys.back}) {
    for (const auto& [renew_there, packet] :
         {std::pair{true, renewed}, std::pair{false, renewed}, std::pair{false, reset}}) {
      put(old);
      const auto pair = look(key);
      renew_there ? write(keys.there, other_way(keys.back), packet, false, BPF_EXIST)
                  : write(keys.back, other_way(keys.there), packet, true, BPF_EXIST);
      EXPECT_EQ(map_.take(pair).value(), Fate::stays);
      ASSERT_EQ(directions(old), 2);
      const auto now = look(renew_there ? keys.there : keys.back).entry;
      EXPECT_EQ(now.time_ns, seconds_ago(packet.silent_s));
      EXPECT_EQ(now.seen, renew_there ? packet.there : packet.back);
    }
  }
  put(old);
  const auto pair = look(keys.there);
  EXPECT_EQ(map_.take(pair).value(), Fate::expired);
  EXPECT_EQ(directions(old), 0);
  EXPECT_EQ(map_.take(pair).value(), Fate::gone);
}

}  // namespace
}  // namespace netkite::datapath::lab
