// SPDX-License-Identifier: Apache-2.0
// GC, STATUS and VERSION through the built program.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "cni-plugin/tests/sandbox.hpp"
#include "cni-plugin/verbs.hpp"

namespace netkite::cni::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

class Verbs : public Sandbox {
 protected:
  // As runtimes call GC and STATUS: the other variables are there, and empty.
  Answer node_call(const std::string& command, const json& conf) {
    return run_plugin({.command = command, .container_id = "", .netns = "", .ifname = "", .args = ""}, conf.dump());
  }
};

TEST_F(Verbs, StatusReady) {
  const auto answer = node_call("STATUS", conf());
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(answer.output, "");
}

TEST_F(Verbs, StatusNotReady) {
  agent_->answer("cni_status", {{"ready", false}, {"addresses_left", true}, {"message", "no uplink"}});
  expect_error(node_call("STATUS", conf()), 50, "no uplink");
  agent_->answer("cni_status",
                 {{"ready", true}, {"addresses_left", false}, {"message", "pool 10.0.0.0/24 is exhausted"}});
  expect_error(node_call("STATUS", conf()), 51, "pool 10.0.0.0/24");
  agent_->refuse("cni_status", Code::io, "the words");
  expect_error(node_call("STATUS", conf()), 50, "the words");
  agent_->say("cni_status", "rubbish");
  expect_error(node_call("STATUS", conf()), 50, "nonsense");
  agent_.reset();
  expect_error(node_call("STATUS", conf()), 50, "agent is not running");
}

TEST_F(Verbs, StatusOfASilentAgentIsGivenUpOnWithinASecond) {
  agent_->hang("cni_status");
  const auto started = Clock::now();
  const Call call = {
      .args = *parse_args({.command = "STATUS", .container_id = "", .netns = "", .ifname = "", .args = ""}),
      .conf = *read_net_conf(conf(), Command::status, kNewestVersion),
      .started = started - std::chrono::milliseconds(900)};
  const auto status = verb_status(call);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::not_available);
  EXPECT_LT(Clock::now() - started, std::chrono::seconds(2));  // nothing was left of its time
  expect_error(node_call("STATUS", conf()), 50, "did not answer in time");
  EXPECT_LT(Clock::now() - started, std::chrono::seconds(5));  // a busy machine
}

TEST_F(Verbs, GcHandsTheSetOver) {
  auto with_set = conf();
  with_set["cni.dev/valid-attachments"] = {{{"containerID", "a"}, {"ifname", "eth0"}},
                                           {{"containerID", "b"}, {"ifname", "net1"}}};
  const auto answer = node_call("GC", with_set);
  EXPECT_EQ(answer.status, 0) << answer.output;
  EXPECT_EQ(answer.output, "");
  const auto request = wire::from_json<wire::GcRequest>(agent_->last("gc"));
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->network, "pods");
  EXPECT_THAT(request->valid, ElementsAre(wire::Attachment{.network = "", .container_id = "a", .ifname = "eth0"},
                                          wire::Attachment{.network = "", .container_id = "b", .ifname = "net1"}));
}

TEST_F(Verbs, GcWithoutTheKeyAsksNobody) {
  expect_error(node_call("GC", conf()), 7, "cni.dev/valid-attachments");
  EXPECT_TRUE(agent_->operations().empty());
}

TEST_F(Verbs, GcErrorsAreReported) {
  auto with_set = conf();
  with_set["cni.dev/valid-attachments"] = nullptr;
  agent_->refuse("gc", Code::io, "a: busy; b: busy");
  expect_error(node_call("GC", with_set), 100, "a: busy; b: busy");
}

TEST_F(Verbs, GcSetThatDoesNotFitIntoAMessage) {
  auto with_set = conf();
  json list = json::array();
  for (int i = 0; i < 2000; ++i)
    list.push_back({{"containerID", std::string(64, 'a') + std::to_string(i)}, {"ifname", "eth0"}});
  with_set["cni.dev/valid-attachments"] = list;
  expect_error(node_call("GC", with_set), 7, "larger than 64 KiB");
  EXPECT_TRUE(agent_->operations().empty());
}

TEST_F(Verbs, VersionWithAndWithoutInput) {
  for (const char* input : {"", R"({"cniVersion": "1.1.0"})"}) {
    const auto answer =
        run_plugin({.command = "VERSION", .container_id = "", .netns = "", .ifname = "", .args = ""}, input);
    EXPECT_EQ(answer.status, 0);
    EXPECT_EQ(answer.json.at("cniVersion"), "1.1.0");
    EXPECT_EQ(answer.json.at("supportedVersions").size(), 7U);
  }
}

}  // namespace
}  // namespace netkite::cni::testing
