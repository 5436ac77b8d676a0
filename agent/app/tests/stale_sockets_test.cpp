// SPDX-License-Identifier: Apache-2.0
// When it looks at sockets, and whom it spares; tests/net/service_flows.sh has real ones.
#include "agent/app/stale_sockets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "agent/endpoint/tests/fakes.hpp"
#include "common/netlink/netns.hpp"

namespace netkite::app {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StaleSocketsTest : public ::testing::Test {
 protected:
  void begin() {
    stale_.emplace(
        context_, datapath_,
        StaleSockets::Neighbourhood{.serves = [this](const datapath::StaleSocket&) { return ++asked_, serves_; },
                                    .netns_paths = [this](std::uint64_t) { return paths_; }},
        milliseconds(1), longest_);
  }
  // Until so many looks have been made; false: it waits for nothing before.
  bool run_looks(int count) {
    context_.restart();
    while (looks() < count) {
      if (context_.run_one() == 0) return false;
    }
    return true;
  }
  [[nodiscard]] std::ptrdiff_t looks() const { return journal_.count("stale sockets"); }
  void talk_with(const std::string& address, std::uint64_t netns) {
    datapath_.stale_socket_list.push_back({.socket = {.cookie = 1,
                                                      .local = *Ip::parse("10.0.0.1"),
                                                      .remote = *Ip::parse(address),
                                                      .local_port = 40000,
                                                      .remote_port = 53},
                                           .netns = netns});
  }

  boost::asio::io_context context_;
  endpoint::testing::Journal journal_;
  endpoint::testing::FakeDatapath datapath_{journal_};
  bool serves_ = false;
  int asked_ = 0;
  std::vector<std::string> paths_;
  milliseconds longest_{2};
  std::optional<StaleSockets> stale_;
};

constexpr std::uint64_t kElsewhere = 1;  // no inode of a namespace

TEST_F(StaleSocketsTest, LooksOnceAtItsStartAndOnceForEachSwarmOfChanges) {
  begin();
  EXPECT_TRUE(run_looks(1));
  EXPECT_FALSE(run_looks(2));
  stale_->follow(false);
  EXPECT_FALSE(run_looks(2)) << "nobody has gone";
  for (int i = 0; i < 10; ++i) stale_->follow(true);
  EXPECT_FALSE(run_looks(3));
  EXPECT_EQ(looks(), 2);
  EXPECT_THAT(stale_->problems(), IsEmpty());
}

TEST_F(StaleSocketsTest, WhoServesToTheEndIsSparedUntilThen) {
  talk_with("10.0.0.2", kElsewhere);
  talk_with("10.0.0.2", kElsewhere);
  paths_ = {"/nowhere"};
  serves_ = true;
  begin();
  EXPECT_TRUE(run_looks(3));
  EXPECT_EQ(asked_, 3) << "once for each backend";
  EXPECT_THAT(stale_->problems(), IsEmpty());
  serves_ = false;
  EXPECT_TRUE(run_looks(4));
  EXPECT_THAT(stale_->problems(), ElementsAre(HasSubstr("/nowhere")));
}

TEST_F(StaleSocketsTest, SocketsThatNobodyKnowsAreLeftAlone) {
  talk_with("10.0.0.2", kElsewhere);
  begin();
  EXPECT_TRUE(run_looks(1));
  EXPECT_FALSE(run_looks(2));
  EXPECT_THAT(stale_->problems(), IsEmpty());
}

TEST_F(StaleSocketsTest, OnesThatHaveGoneMeanwhileAreNoTrouble) {
  const auto own = netlink::current_netns();
  ASSERT_TRUE(own);
  talk_with("10.0.0.2", own->inode);
  paths_ = {"/nowhere"};
  begin();
  EXPECT_TRUE(run_looks(2)) << "the look may have missed another one";
  EXPECT_THAT(stale_->problems(), IsEmpty());
  datapath_.stale_socket_list.clear();
  EXPECT_TRUE(run_looks(3));
  EXPECT_FALSE(run_looks(4));
}

TEST_F(StaleSocketsTest, ANamespaceIsKnownByItsInodeWhereverItIs) {
  talk_with("10.0.0.2", kElsewhere);
  paths_ = {"/nowhere", "/proc/self/ns/net"};
  begin();
  EXPECT_TRUE(run_looks(1));
  EXPECT_THAT(stale_->problems(), ElementsAre(HasSubstr("/proc/self/ns/net is another network namespace")));
}

TEST_F(StaleSocketsTest, LooksMoreAndMoreSeldomUntilSomethingChanges) {
  longest_ = std::chrono::hours(1);
  talk_with("10.0.0.2", kElsewhere);
  serves_ = true;
  begin();
  context_.run_for(milliseconds(40));  // 1 + 1 + 2 + 4 + 8 + 16
  const auto before = looks();
  EXPECT_LE(before, 7);
  context_.restart();
  stale_->follow(false);
  EXPECT_TRUE(run_looks(static_cast<int>(before) + 1));
}

TEST_F(StaleSocketsTest, WhatTheKernelRefusesIsSaidAndTriedAgain) {
  journal_.failing = {"stale sockets"};
  begin();
  EXPECT_TRUE(run_looks(2));
  EXPECT_THAT(stale_->problems(), ElementsAre(HasSubstr("stale sockets was told to fail")));
  journal_.failing = {};
  EXPECT_TRUE(run_looks(3));
  EXPECT_FALSE(run_looks(4));
  EXPECT_THAT(stale_->problems(), IsEmpty());
}

TEST_F(StaleSocketsTest, EndsWithTheAgent) {
  journal_.failing = {"stale sockets"};
  begin();
  EXPECT_TRUE(run_looks(1));
  stale_->stop();
  stale_->follow(true);
  EXPECT_FALSE(run_looks(2));
}

}  // namespace
}  // namespace netkite::app
