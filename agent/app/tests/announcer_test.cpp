// SPDX-License-Identifier: Apache-2.0
#include "agent/app/announcer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <filesystem>
#include <fstream>

#include "agent/kube/tests/server.hpp"

namespace netkite::app {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const kube::NodeMarks kBoth{.taints = {true}, .network_said = false};
const kube::NodeMarks kNothingToSay{.taints = {false}, .network_said = true};

class AnnouncerTest : public ::testing::Test {
 protected:
  AnnouncerTest() {
    std::ofstream(file_) << "current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
                         << "clusters: [{name: c, cluster: {server: \"" << server_.url() << "\"}}]\n"
                         << "users: [{name: u, user: {token: secret}}]\n";
    boost::asio::co_spawn(context_, announcer_.run(), [](const std::exception_ptr& error) { EXPECT_FALSE(error); });
  }
  ~AnnouncerTest() override {
    announcer_.stop();
    server_.stop();
    context_.run_for(milliseconds(2000));
    std::filesystem::remove(file_);
  }
  void run_until(const std::function<bool()>& done) {
    for (int i = 0; i < 1000 && !done(); ++i) context_.run_for(milliseconds(10));
    EXPECT_TRUE(done());
  }

  boost::asio::io_context context_;
  unsigned status_ = 200;
  kube::Server server_{context_,
                       [this](const std::string&) { return kube::whole(status_, R"({"message":"no, thank you"})"); }};
  std::filesystem::path file_ =
      std::filesystem::temp_directory_path() / ("netkite-announcer." + std::to_string(::getpid()));
  int changes_ = 0;
  Announcer announcer_{context_,
                       {.kubeconfig = file_, .server = ""},
                       "a",
                       [this] { ++changes_; },
                       {.shortest = milliseconds(1), .longest = milliseconds(4)}};
};

TEST_F(AnnouncerTest, SaysNothingBeforeItIsTrue) {
  announcer_.set_marks(kBoth);
  context_.run_for(milliseconds(100));
  EXPECT_THAT(server_.targets, IsEmpty());
  announcer_.set_ready(true);
  run_until([this] { return server_.targets.size() >= 2; });
  EXPECT_EQ(server_.targets[0], "/api/v1/nodes/a/status");
  EXPECT_EQ(server_.targets[1], "/api/v1/nodes/a");
  EXPECT_EQ(announcer_.trouble(), "");
}

TEST_F(AnnouncerTest, SaysNothingWhenTheClusterKnows) {
  announcer_.set_ready(true);
  announcer_.set_marks(kNothingToSay);
  context_.run_for(milliseconds(100));
  announcer_.set_marks({});
  context_.run_for(milliseconds(100));
  EXPECT_THAT(server_.targets, IsEmpty());
}

TEST_F(AnnouncerTest, ARefusalIsTroubleUntilItIsSaid) {
  status_ = 403;
  announcer_.set_ready(true);
  announcer_.set_marks(kBoth);
  run_until([this] { return !announcer_.trouble().empty(); });
  EXPECT_THAT(announcer_.trouble(), HasSubstr("says 403: no, thank you"));
  EXPECT_EQ(changes_, 1);
  // One right may be missing and the other not: both are asked for, again and again.
  run_until([this] { return server_.targets.size() >= 6; });
  EXPECT_EQ(changes_, 1);
  status_ = 200;
  run_until([this] { return announcer_.trouble().empty(); });
  EXPECT_EQ(changes_, 2);
}

TEST_F(AnnouncerTest, SomebodyElseMaySayIt) {
  status_ = 403;
  announcer_.set_ready(true);
  announcer_.set_marks(kBoth);
  run_until([this] { return !announcer_.trouble().empty(); });
  announcer_.set_marks(kNothingToSay);
  EXPECT_EQ(announcer_.trouble(), "");
}

}  // namespace
}  // namespace netkite::app
