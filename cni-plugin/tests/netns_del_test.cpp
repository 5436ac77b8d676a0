// SPDX-License-Identifier: Apache-2.0
// DEL: always ends with nothing left, with whatever is gone already.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "cni-plugin/deferred_del.hpp"
#include "cni-plugin/tests/sandbox.hpp"
#include "cni-plugin/verbs.hpp"

namespace netkite::cni::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Del : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    if (IsSkipped()) return;
    host_before_ = host_snapshot();
    pod_before_ = snapshot(pod_->socket());
    ASSERT_EQ(call("ADD").status, 0);
    ASSERT_NE(host_snapshot(), host_before_);
  }
  void expect_gone() {
    EXPECT_EQ(host_snapshot(), host_before_);
    EXPECT_EQ(snapshot(pod_->socket()), pod_before_);
  }
  bool device_exists() {
    auto socket = must(netlink::Socket::open());
    return netlink::get_link(socket, veth_plan().host_ifname).has_value();
  }
  std::vector<json> read_notes() {
    std::vector<json> list;
    for (const auto& entry : std::filesystem::directory_iterator(notes())) {
      std::ifstream file(entry.path());
      list.push_back(json::parse(file));
    }
    return list;
  }

  std::string host_before_, pod_before_;
};

TEST_F(Del, TakesAllAway) {
  const auto answer = call("DEL");
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(answer.output, "");
  expect_gone();
  EXPECT_THAT(agent_->operations(), ElementsAre("prepare", "commit", "remove_begin", "remove_end"));
  EXPECT_EQ(wire::from_json<wire::RemoveRequest>(agent_->last("remove_end"))->attachment, attachment());
  EXPECT_FALSE(std::filesystem::exists(notes()));
}

TEST_F(Del, DeviceGoesBetweenTheTwoPhases) {
  bool at_begin = false, at_end = true;
  agent_->watch("remove_begin", [&] { at_begin = device_exists(); });
  agent_->watch("remove_end", [&] { at_end = device_exists(); });
  ASSERT_EQ(call("DEL").status, 0);
  EXPECT_TRUE(at_begin);
  EXPECT_FALSE(at_end);
}

TEST_F(Del, Repeated) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(call("DEL").status, 0);
    expect_gone();
  }
}

// Kubernetes lets a pod have 256 KiB of annotations, which the runtime hands over with each verb.
TEST_F(Del, AsManyAnnotationsAsThereMayBe) {
  constexpr const char* kAnnotations = "io.kubernetes.cri.pod-annotations";
  auto many = conf();
  for (int i = 0; i < 20'000; ++i) many["runtimeConfig"][kAnnotations]["a" + std::to_string(i)] = "";
  std::string escaped;
  while (escaped.size() < 6U * 256 * 1024) escaped += "\\u003c";
  auto text = conf().dump();
  text.insert(1, R"("runtimeConfig": {"io.kubernetes.cri.pod-annotations": {"a": ")" + escaped + R"("}}, )");
  for (const auto& input : {many.dump(), text}) {
    const auto refused = run_plugin(environment("ADD"), input);
    EXPECT_NE(refused.status, 0);
    const auto answer = run_plugin(environment("DEL"), input);
    EXPECT_EQ(answer.status, 0) << answer.output;
    expect_gone();
    ASSERT_EQ(call("ADD").status, 0);
  }
}

TEST_F(Del, WithoutOrWithAStrangeNetns) {
  const Namespace other;
  for (const std::string& path :
       {std::string(), std::string("/nonexistent"), std::string("/etc/passwd"), other.path()}) {
    SCOPED_TRACE(path);
    auto env = environment("DEL");
    env.netns = path;
    const auto answer = run_plugin(env, conf().dump());
    EXPECT_EQ(answer.status, 0) << answer.output;
    expect_gone();
    ASSERT_EQ(call("ADD").status, 0);
  }
}

TEST_F(Del, LeavesAnotherPodsInterfaceAlone) {
  const Namespace other;
  auto env = environment("ADD");
  env.container_id = "c2";
  env.netns = other.path();
  auto plan = veth_plan();
  plan.host_ifname = wire::host_ifname({.network = "pods", .container_id = "c2", .ifname = "eth0"});
  agent_->answer("prepare", wire::to_json(plan));
  ASSERT_EQ(run_plugin(env, conf().dump()).status, 0);
  const auto before = snapshot(other.socket());

  auto del = environment("DEL");
  del.netns = other.path();  // c1's path leads to c2's namespace by now
  ASSERT_EQ(run_plugin(del, conf().dump()).status, 0);
  EXPECT_EQ(snapshot(other.socket()), before);
}

TEST_F(Del, AfterTheNetnsIsGone) {
  auto env = environment("DEL");
  pod_.reset();
  EXPECT_EQ(run_plugin(env, conf().dump()).status, 0);
  EXPECT_EQ(host_snapshot(), host_before_);
}

TEST_F(Del, WithAnEditedConfiguration) {
  auto edited = conf();
  edited["leftover"] = true;
  edited["prevResult"] = "rubbish";
  EXPECT_EQ(call("DEL", edited).status, 0);
  expect_gone();
}

TEST_F(Del, AgentAwayLeavesANote) {
  agent_.reset();
  EXPECT_EQ(call("DEL").status, 0);
  expect_gone();
  EXPECT_THAT(read_notes(), ElementsAre(wire::to_json(attachment())));
  EXPECT_EQ(call("DEL").status, 0);
  EXPECT_EQ(read_notes().size(), 1U);
}

TEST_F(Del, AgentThatHangsUpOrTalksNonsenseCountsAsAway) {
  for (const bool nonsense : {false, true}) {
    SCOPED_TRACE(nonsense);
    if (nonsense) {
      agent_->say("remove_begin", "rubbish");
    } else {
      agent_->close_on("remove_begin");
    }
    EXPECT_EQ(call("DEL").status, 0);
    expect_gone();
    EXPECT_EQ(read_notes().size(), 1U);
    ASSERT_EQ(call("ADD").status, 0);
  }
}

TEST_F(Del, AgentThatHangsCountsAsAway) {
  agent_->hang("remove_begin");
  const Call call = {.args = *parse_args(environment("DEL")),
                     .conf = *read_net_conf(conf(), Command::del, kNewestVersion),
                     .started = Clock::now() - std::chrono::milliseconds(19'500)};
  const auto started = Clock::now();
  EXPECT_TRUE(verb_del(call));
  EXPECT_LT(Clock::now() - started, std::chrono::seconds(4));
  expect_gone();
  EXPECT_EQ(read_notes().size(), 1U);
}

// The agent was restarting: it missed our note, but answers the second attempt.
TEST_F(Del, AgentThatComesBackMeanwhile) {
  agent_->close_on("remove_begin");
  agent_->watch("remove_begin", [this] { agent_->answer("remove_begin", {{"known", true}}); });
  EXPECT_EQ(call("DEL").status, 0);
  expect_gone();
  EXPECT_THAT(agent_->operations(), ElementsAre("prepare", "commit", "remove_begin", "remove_begin", "remove_end"));
  EXPECT_TRUE(read_notes().empty());
}

TEST_F(Del, AgentThatDiesBetweenThePhases) {
  agent_->close_on("remove_end");
  EXPECT_EQ(call("DEL").status, 0);
  expect_gone();
  EXPECT_FALSE(std::filesystem::exists(notes()));  // the agent saw remove_begin and finishes alone
}

TEST_F(Del, WithoutNoteTheDeviceGoesButTheRuntimeMustRepeat) {
  agent_.reset();
  std::ofstream(notes()) << "a file in the folder's place";
  const auto answer = call("DEL");
  expect_error(answer, 11, "deferred-del");
  expect_gone();
  std::filesystem::remove(notes());
  EXPECT_EQ(call("DEL").status, 0);
}

TEST_F(Del, AgentsRefusalIsToldInHarmlessWords) {
  agent_->refuse("remove_begin", Code::io, "pin Not Found, no such file or directory: link not found");
  const auto answer = call("DEL");
  expect_error(answer, 100, "pin absent, missing file: link absent");
  EXPECT_THAT(answer.output, AllOf(Not(HasSubstr("not found")), Not(HasSubstr("no such file"))));
}

}  // namespace
}  // namespace netkite::cni::testing
