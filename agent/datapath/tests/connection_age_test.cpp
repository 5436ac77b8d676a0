// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/connection_age.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>
#include <string>
#include <vector>

namespace netkite::datapath {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kNow = 100'000 * kSecond;
constexpr std::uint8_t kSyn = NK_CT_SYN;
constexpr std::uint8_t kAck = NK_CT_ACK;
constexpr std::uint8_t kOpen = NK_CT_SYN | NK_CT_ACK;
constexpr std::uint8_t kFin = NK_CT_SYN | NK_CT_ACK | NK_CT_FIN;
constexpr std::uint8_t kRst = NK_CT_RST;

nk_connection direction(bool reply, std::uint8_t seen, std::uint64_t silent_s) {
  nk_connection value{};
  value.reply = reply ? 1 : 0;
  value.seen = seen;
  value.time_ns = kNow - silent_s * kSecond;
  return value;
}

struct Both {
  std::uint8_t protocol = IPPROTO_TCP;
  std::uint8_t there = 0, back = 0;                 // seen
  std::uint64_t there_silent = 0, back_silent = 0;  // seconds
};

// Looked at from either end.
std::vector<ConnectionPair> pairs(const Both& both) {
  const auto there = direction(false, both.there, both.there_silent);
  const auto back = direction(true, both.back, both.back_silent);
  ConnectionPair first{.key = {}, .entry = there, .other = back};
  ConnectionPair second{.key = {}, .entry = back, .other = there};
  first.key.protocol = second.key.protocol = both.protocol;
  return {first, second};
}

struct Case {
  std::string name;
  Both both;
  ConnectionState state = ConnectionState::half;
  std::uint64_t usual = 0, high = 0, highest = 0;  // seconds that it may be silent
};

class ConnectionAge : public testing::TestWithParam<Case> {};

TEST_P(ConnectionAge, IsBoundedByItsState) {
  const auto& each = GetParam();
  const std::vector<std::pair<Pressure, std::uint64_t>> limits = {
      {Pressure::none, each.usual}, {Pressure::high, each.high}, {Pressure::highest, each.highest}};
  for (const auto& [pressure, limit] : limits) {
    auto both = each.both;
    both.there_silent = both.back_silent = limit - 1;
    for (const auto& pair : pairs(both)) {
      EXPECT_EQ(state_of(pair), each.state);
      EXPECT_FALSE(is_old(pair, kNow, pressure)) << "at " << limit - 1 << " s";
    }
    both.there_silent = both.back_silent = limit + 1;
    for (const auto& pair : pairs(both)) EXPECT_TRUE(is_old(pair, kNow, pressure)) << "at " << limit + 1 << " s";
  }
}

INSTANTIATE_TEST_SUITE_P(
    States, ConnectionAge,
    testing::Values(
        Case{"syn", {.there = kSyn}, ConnectionState::opening, 30, 7, 2},
        // A backend answers whatever address a flood has invented.
        Case{"syn_and_answer", {.there = kSyn, .back = kOpen}, ConnectionState::opening, 30, 7, 2},
        Case{"established", {.there = kOpen, .back = kOpen}, ConnectionState::established, 8000, 8000, 8000},
        Case{"one_has_finished", {.there = kFin, .back = kOpen}, ConnectionState::half_closed, 3600, 3600, 3600},
        Case{"both_have_finished", {.there = kFin, .back = kFin}, ConnectionState::closed, 10, 2, 2},
        Case{"broken_off", {.there = kOpen, .back = kRst}, ConnectionState::closed, 10, 2, 2},
        Case{"refused", {.there = kSyn, .back = kRst | kAck}, ConnectionState::closed, 10, 2, 2},
        Case{"udp", {.protocol = IPPROTO_UDP, .there = kSyn}, ConnectionState::unanswered, 30, 7, 2},
        Case{"udp_both_ways",
             {.protocol = IPPROTO_UDP, .there = kSyn, .back = kSyn},
             ConnectionState::answered,
             120,
             30,
             30},
        Case{"echo", {.protocol = IPPROTO_ICMP, .there = kSyn}, ConnectionState::unanswered, 30, 7, 2},
        Case{"echo_answered",
             {.protocol = IPPROTO_ICMPV6, .there = kSyn, .back = kSyn},
             ConnectionState::answered,
             30,
             7,
             7}),
    [](const testing::TestParamInfo<Case>& each) { return each.param.name; });

// The client's direction is all that there is.
TEST(ConnectionDirect, IsBoundedByWhatTheClientHasShown) {
  struct Row {
    std::uint8_t protocol, seen;
    ConnectionState state;
    std::uint64_t usual, high, highest;
  };
  for (const auto& row : {Row{IPPROTO_TCP, kSyn, ConnectionState::opening, 30, 7, 2},
                          Row{IPPROTO_TCP, kOpen, ConnectionState::led, 8000, 2000, 500},
                          Row{IPPROTO_TCP, kFin, ConnectionState::closing, 120, 30, 30},
                          Row{IPPROTO_TCP, kOpen | kRst, ConnectionState::closing, 120, 30, 30},
                          Row{IPPROTO_UDP, kSyn, ConnectionState::led, 120, 30, 7}}) {
    ConnectionPair pair{.key = {}, .entry = direction(false, row.seen, 0), .other = {}};
    pair.key.protocol = row.protocol;
    pair.entry.use = NK_CT_DIRECT;
    EXPECT_EQ(state_of(pair), row.state);
    for (const auto& [pressure, limit] : {std::pair(Pressure::none, row.usual), std::pair(Pressure::high, row.high),
                                          std::pair(Pressure::highest, row.highest)}) {
      pair.entry.time_ns = kNow - (limit - 1) * kSecond;
      EXPECT_FALSE(is_old(pair, kNow, pressure)) << to_string(row.state) << " at " << limit - 1 << " s";
      pair.entry.time_ns = kNow - (limit + 1) * kSecond;
      EXPECT_TRUE(is_old(pair, kNow, pressure)) << to_string(row.state) << " at " << limit + 1 << " s";
      EXPECT_GE(silence_of(pair.entry, kNow), least_limit(pair.entry, row.protocol, pressure));
    }
  }
}

// Whatever is old shows on one of its directions, so that a look at the other one can wait for that.
TEST(ConnectionLeastLimit, IsPassedByOneDirectionOfAllThatIsOld) {
  constexpr std::uint8_t kAll = NK_CT_SYN | NK_CT_ACK | NK_CT_FIN | NK_CT_RST;
  int old = 0;
  for (const auto protocol : {std::uint8_t{IPPROTO_TCP}, std::uint8_t{IPPROTO_UDP}, std::uint8_t{IPPROTO_ICMP}}) {
    for (std::uint8_t there = 0; there <= kAll; ++there) {
      for (std::uint8_t back = 0; back <= kAll; ++back) {
        for (const std::uint64_t silent_s : {1U, 2U, 5U, 7U, 10U, 30U, 120U, 3600U, 8000U}) {
          for (const auto pressure : {Pressure::none, Pressure::high, Pressure::highest}) {
            const auto both = pairs({protocol, there, back, silent_s, silent_s});
            if (!is_old(both.front(), kNow, pressure)) continue;
            ++old;
            const auto shows = [&](const ConnectionPair& pair) {
              return silence_of(pair.entry, kNow) >= least_limit(pair.entry, protocol, pressure);
            };
            EXPECT_TRUE(std::ranges::any_of(both, shows))
                << int{protocol} << " " << int{there} << " " << int{back} << " " << silent_s;
          }
        }
      }
    }
  }
  EXPECT_GT(old, 1000);
}

TEST(ConnectionLeastLimit, OfWhatIsInUseIsLong) {
  EXPECT_EQ(least_limit(direction(true, kOpen, 0), IPPROTO_TCP, Pressure::highest), seconds(3600));
  EXPECT_EQ(least_limit(direction(true, kSyn, 0), IPPROTO_UDP, Pressure::none), seconds(120));
  EXPECT_EQ(least_limit(direction(true, 0, 0), IPPROTO_UDP, Pressure::none), seconds(5));
  EXPECT_EQ(least_limit(direction(false, kFin, 0), IPPROTO_TCP, Pressure::highest), seconds(2));
}

TEST(ConnectionSilence, IsThatOfTheDirectionWhichSpokeLast) {
  for (const auto& pair : pairs({.there = kOpen, .back = kOpen, .there_silent = 9000, .back_silent = 1})) {
    EXPECT_EQ(silence_of(pair, kNow), seconds(1));
    EXPECT_FALSE(is_old(pair, kNow, Pressure::highest));
  }
}

TEST(ConnectionSilence, OfARepeatedAnswerToNobodyIsTheBeginners) {
  for (const auto& pair : pairs({.there = kSyn, .back = kOpen, .there_silent = 31, .back_silent = 1})) {
    EXPECT_TRUE(is_old(pair, kNow, Pressure::none));
  }
}

TEST(ConnectionSilence, OfWhatWasWrittenSinceIsNone) {
  nk_connection later{};
  later.time_ns = kNow + kSecond;
  EXPECT_EQ(silence_of(later, kNow), seconds(0));
}

TEST(ConnectionHalf, GoesAfterSecondsButNotBetweenTwoInserts) {
  for (const bool reply : {false, true}) {
    ConnectionPair pair{.key = {}, .entry = direction(reply, kOpen, 0), .other = {}};
    pair.key.protocol = IPPROTO_TCP;
    EXPECT_EQ(state_of(pair), ConnectionState::half);
    EXPECT_FALSE(is_old(pair, kNow, Pressure::highest));
    pair.entry = direction(reply, kOpen, 4);
    EXPECT_FALSE(is_old(pair, kNow, Pressure::none));
    EXPECT_TRUE(is_old(pair, kNow, Pressure::highest));
    pair.entry = direction(reply, kOpen, 5);
    EXPECT_TRUE(is_old(pair, kNow, Pressure::none));
  }
}

TEST(ConnectionPressure, BeginsAtThreeQuarters) {
  EXPECT_EQ(pressure_of(0, 64), Pressure::none);
  EXPECT_EQ(pressure_of(48, 64), Pressure::none);
  EXPECT_EQ(pressure_of(49, 64), Pressure::high);
  EXPECT_EQ(pressure_of(60, 64), Pressure::high);
  EXPECT_EQ(pressure_of(61, 64), Pressure::highest);
  EXPECT_EQ(pressure_of(70, 64), Pressure::highest);
}

}  // namespace
}  // namespace netkite::datapath
