// SPDX-License-Identifier: Apache-2.0
// When it looks at sockets, and whom it spares; tests/net/service_flows.sh has real ones.
#include "agent/app/stale_sockets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sched.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <thread>

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
                                    .netns_paths = [this](std::uint64_t) { return paths_; },
                                    .abort = abort_},
        LookPauses{.first = milliseconds(1), .longest = longest_, .patience = milliseconds(20)});
  }
  // Until so many looks have been made; false: it waits for nothing before.
  bool run_looks(int count) {
    context_.restart();
    while (looks() < count) {
      if (context_.run_one() == 0) return false;
    }
    return true;
  }
  // Ends are on threads of their own. False: not within a thousand more looks, or nothing is waited for before.
  bool run_until(const std::function<bool()>& reached) {
    for (int more = 0; !reached() && more < 1000; ++more) {
      if (!run_looks(static_cast<int>(looks()) + 1)) break;
    }
    return reached();
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
  bool has_problem() { return !stale_->problems().empty(); }

  boost::asio::io_context context_;
  endpoint::testing::Journal journal_;
  endpoint::testing::FakeDatapath datapath_{journal_};
  bool serves_ = false;
  int asked_ = 0;
  std::vector<std::string> paths_;
  decltype(StaleSockets::Neighbourhood::abort) abort_ = StaleSockets::abort_all;
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
  EXPECT_TRUE(run_until([this] { return has_problem(); }));
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
  EXPECT_FALSE(run_looks(1000)) << "nobody is left";
  EXPECT_THAT(stale_->problems(), IsEmpty());
}

TEST_F(StaleSocketsTest, ANamespaceIsKnownByItsInodeWhereverItIs) {
  talk_with("10.0.0.2", kElsewhere);
  paths_ = {"/nowhere", "/proc/self/ns/net"};
  begin();
  EXPECT_TRUE(run_until([this] { return has_problem(); }));
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

TEST_F(StaleSocketsTest, WhoHoldsHisSocketIsNotWaitedForButLookedAtSoon) {
  longest_ = std::chrono::hours(1);
  const auto own = netlink::current_netns();
  ASSERT_TRUE(own);
  talk_with("10.0.0.2", own->inode);
  datapath_.stale_socket_list.front().held = true;
  const auto ends = std::make_shared<std::atomic<int>>(0);
  abort_ = [ends](const auto& sockets) -> Result<std::size_t> { return ++*ends, sockets.size(); };
  begin();
  EXPECT_TRUE(run_looks(30));
  EXPECT_EQ(*ends, 0);
  datapath_.stale_socket_list.front().held = false;
  EXPECT_TRUE(run_until([&ends] { return *ends > 0; }));
}

TEST_F(StaleSocketsTest, AnUnknownSocketThatIsHeldIsLeftAlone) {
  talk_with("10.0.0.2", kElsewhere);
  datapath_.stale_socket_list.front().held = true;
  begin();
  EXPECT_TRUE(run_looks(1));
  EXPECT_FALSE(run_looks(2));
}

// Another network namespace than that of the test.
UniqueFd new_netns() {
  UniqueFd fd;
  std::thread([&fd] {
    if (::unshare(CLONE_NEWNET) == 0) fd = netlink::open_netns("/proc/thread-self/ns/net").value();
  }).join();
  return fd;
}

TEST_F(StaleSocketsTest, AnEndThatDoesNotComeHoldsUpNobodyElse) {
  const auto own = netlink::current_netns();
  const auto other = new_netns();
  const auto others = netlink::identify_netns(other.get());
  ASSERT_TRUE(own && others);
  paths_ = {"/proc/self/fd/" + std::to_string(other.get())};
  talk_with("10.0.0.2", own->inode);
  talk_with("10.0.0.2", others->inode);
  struct Ends {
    std::atomic<int> here = 0, there = 0;
  };
  const auto ends = std::make_shared<Ends>();
  std::promise<void> let_go;
  abort_ = [ends, home = own->inode, gone = let_go.get_future().share()](const auto& sockets) -> Result<std::size_t> {
    const bool here = netlink::current_netns()->inode == home;
    ++(here ? ends->here : ends->there);
    if (here) gone.wait();
    return sockets.size();
  };
  begin();
  EXPECT_TRUE(run_until([&] { return ends->there > 1 && has_problem(); }));
  EXPECT_EQ(ends->here, 1) << "one thread waits, however often it is looked";
  EXPECT_THAT(stale_->problems(),
              ElementsAre(HasSubstr("namespace " + std::to_string(own->inode) + " they do not end")));
  let_go.set_value();
  EXPECT_TRUE(run_until([&] { return ends->here > 1; }));
  EXPECT_TRUE(run_until([&] { return !has_problem(); }));
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
