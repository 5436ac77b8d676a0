// SPDX-License-Identifier: Apache-2.0
// ADD that fails: the code, the words, and that nothing is left.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cni-plugin/tests/sandbox.hpp"
#include "cni-plugin/verbs.hpp"
#include "common/netlink/link_veth.hpp"
#include "common/netlink/netns.hpp"

namespace netkite::cni::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

class AddFailure : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    if (IsSkipped()) return;
    host_before_ = host_snapshot();
    pod_before_ = snapshot(pod_->socket());
  }
  void expect_unchanged() {
    EXPECT_EQ(host_snapshot(), host_before_);
    EXPECT_EQ(snapshot(pod_->socket()), pod_before_);
  }

  std::string host_before_, pod_before_;
};

struct Refusal {
  Code code;
  int cni_code;
  std::string names;
};

TEST_F(AddFailure, PrepareRefused) {
  const std::vector<Refusal> refusals = {
      {Code::invalid, 7, "CNI_IFNAME eth0"}, {Code::exists, 4, "CNI_CONTAINERID c1"},
      {Code::exhausted, 101, "the words"},   {Code::unavailable, 11, "the words"},
      {Code::unsupported, 102, "the words"}, {Code::denied, 104, "the words"},
      {Code::io, 100, "the words"},          {Code::not_found, 100, "the words"},
  };
  for (const auto& refusal : refusals) {
    SCOPED_TRACE(to_string(refusal.code));
    agent_->refuse("prepare", refusal.code, "the words");
    const auto answer = call("ADD");
    expect_error(answer, refusal.cni_code, refusal.names);
    expect_error(answer, refusal.cni_code, "the words");
    expect_unchanged();
  }
  EXPECT_THAT(agent_->operations(), ::testing::Each("prepare"));
}

TEST_F(AddFailure, RefusedWishesAreNamed) {
  agent_->refuse("prepare", Code::invalid, "outside the pool 10.0.0.0/24");
  auto wishing = conf();
  wishing["runtimeConfig"] = {{"ips", {"192.0.2.1"}}};
  expect_error(call("ADD", wishing), 7, "runtimeConfig.ips 192.0.2.1: outside the pool");

  agent_->refuse("prepare", Code::exists, "taken");
  expect_error(call("ADD", wishing), 7, "runtimeConfig.ips 192.0.2.1: taken");

  agent_->refuse("prepare", Code::invalid, "no MAC in L3 mode");
  wishing["runtimeConfig"] = {{"mac", "02:00:00:00:00:09"}};
  expect_error(call("ADD", wishing), 2, "runtimeConfig.mac 02:00:00:00:00:09: no MAC in L3 mode");
  expect_unchanged();
}

TEST_F(AddFailure, CommitRefused) {
  const std::vector<Refusal> refusals = {{Code::exhausted, 101, ""},  {Code::unsupported, 102, ""},
                                         {Code::unavailable, 11, ""}, {Code::io, 100, ""},
                                         {Code::invalid, 100, ""},    {Code::not_found, 100, ""}};
  for (const auto& refusal : refusals) {
    SCOPED_TRACE(to_string(refusal.code));
    agent_->refuse("commit", refusal.code, "the map nk_endpoints4_v1 is full");
    expect_error(call("ADD"), refusal.cni_code, "nk_endpoints4_v1");
    expect_unchanged();
  }
}

TEST_F(AddFailure, TheAgentIsToldToForget) {
  agent_->refuse("commit", Code::io, "no");
  expect_error(call("ADD"), 100, "no");
  EXPECT_THAT(agent_->operations(), ElementsAre("prepare", "commit", "remove_begin", "remove_end"));
}

TEST_F(AddFailure, AgentAway) {
  agent_.reset();
  expect_error(call("ADD"), 11, "agent is not running: socket " + socket_path_);
  expect_unchanged();
}

TEST_F(AddFailure, AgentHangsUpAtEveryStep) {
  for (const char* op : {"prepare", "commit"}) {
    SCOPED_TRACE(op);
    agent_->close_on(op);
    expect_error(call("ADD"), 11, "closed the connection");
    expect_unchanged();
    agent_->answer("prepare", wire::to_json(veth_plan()));
  }
}

TEST_F(AddFailure, AgentTalksNonsenseAtEveryStep) {
  for (const char* op : {"prepare", "commit"}) {
    for (const char* text : {"rubbish", "{\"ok\": 3}", "[]"}) {
      SCOPED_TRACE(std::string(op) + " " + text);
      agent_->say(op, text);
      expect_error(call("ADD"), 11, "nonsense");
      expect_unchanged();
    }
    agent_->answer("prepare", wire::to_json(veth_plan()));
  }
  agent_->answer("prepare", {{"device", "bridge"}});
  expect_error(call("ADD"), 11, "device");
}

// A silent agent is given up on at the deadline; the call is made here as if most of it had passed.
TEST_F(AddFailure, AgentHangsAtEveryStep) {
  for (const char* op : {"prepare", "commit"}) {
    SCOPED_TRACE(op);
    agent_->hang(op);
    Call call = {.args = *parse_args(environment("ADD")),
                 .conf = *read_net_conf(conf(), Command::add, kNewestVersion),
                 .started = Clock::now() - std::chrono::milliseconds(59'500)};
    const UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    Output output(nowhere.get());
    const auto started = Clock::now();
    const auto added = verb_add(call, output);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, ErrorCode::try_again);
    EXPECT_THAT(added.error().message, ::testing::HasSubstr("did not answer in time"));
    EXPECT_LT(Clock::now() - started, std::chrono::seconds(5));
    expect_unchanged();
    agent_->answer("prepare", wire::to_json(veth_plan()));
  }
}

TEST_F(AddFailure, InterfaceExists) {
  auto pod = pod_->socket();
  ASSERT_TRUE(netlink::create_veth(pod, {.host_name = "eth0", .pod_name = "other"}));
  pod_before_ = snapshot(pod_->socket());
  expect_error(call("ADD"), 4, "CNI_IFNAME eth0 exists already");
  expect_unchanged();
}

TEST_F(AddFailure, AddedTwice) {
  ASSERT_EQ(call("ADD").status, 0);
  agent_->refuse("prepare", Code::exists, "the attachment exists");
  const auto host = host_snapshot();
  const auto pod = snapshot(pod_->socket());
  expect_error(call("ADD"), 4, "CNI_IFNAME eth0");
  EXPECT_EQ(host_snapshot(), host);
  EXPECT_EQ(snapshot(pod_->socket()), pod);
}

TEST_F(AddFailure, ImpossiblePlans) {
  auto plan = veth_plan();
  plan.addresses = {*Ip::parse("10.0.0.5"), *Ip::parse("10.0.0.5")};  // the second is refused by the kernel
  agent_->answer("prepare", wire::to_json(plan));
  expect_error(call("ADD"), 100, "add 10.0.0.5 to eth0");
  expect_unchanged();

  plan = veth_plan();
  plan.host_mac.reset();
  agent_->answer("prepare", wire::to_json(plan));
  expect_error(call("ADD"), 100, "host_mac");
  expect_unchanged();
}

TEST_F(AddFailure, ResultCannotBeDelivered) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  for (const int output : {full.get(), kClosed}) {
    SCOPED_TRACE(output);
    const auto answer = run_plugin(environment("ADD"), conf().dump(), output);
    EXPECT_EQ(answer.status, 1);
    EXPECT_EQ(answer.output, "");
    EXPECT_EQ(agent_->operations().back(), "remove_end");
    expect_unchanged();
  }
}

TEST_F(AddFailure, KernelWithoutTheDevice) {
  auto plan = veth_plan();
  plan.device = wire::DeviceMode::netkit;
  agent_->answer("prepare", wire::to_json(plan));
  const auto answer = call("ADD");
  if (answer.status == 0) GTEST_SKIP() << "this kernel has netkit";
  expect_error(answer, 102, "netkit");
  expect_unchanged();
}

}  // namespace
}  // namespace netkite::cni::testing
