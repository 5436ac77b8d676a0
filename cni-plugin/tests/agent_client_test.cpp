// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/agent_client.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "cni-plugin/tests/fake_agent.hpp"
#include "common/netlink/netns.hpp"

namespace netkite::cni {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

Deadline soon() { return Clock::now() + seconds(5); }

class Client : public ::testing::Test {
 protected:
  AgentClient connected() { return std::move(*AgentClient::connect(socket_, soon())); }

  testing::TemporaryFolder folder_;
  const std::string socket_ = folder_.path() + "/agent.sock";
};

TEST_F(Client, NobodyThere) {
  const auto client = AgentClient::connect(socket_, soon());
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, Code::unavailable);
  EXPECT_THAT(client.error().message, HasSubstr("agent is not running: socket " + socket_));
}

TEST_F(Client, APlainFileInstead) {
  std::ofstream(socket_) << "";
  EXPECT_EQ(AgentClient::connect(socket_, soon()).error().code, Code::unavailable);
}

TEST_F(Client, AsksAndGetsAnswers) {
  testing::FakeAgent agent(socket_);
  agent.answer("check", {{"attached", true}, {"host_ifindex", 7}});
  auto client = connected();
  const auto reply = client.call_as<wire::CheckReply>("check", {{"x", 1}}, soon());
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_TRUE(reply->attached);
  EXPECT_EQ(reply->host_ifindex, 7U);
  EXPECT_EQ(agent.last("check"), json({{"op", "check"}, {"x", 1}}));
}

TEST_F(Client, PassesTheDescriptor) {
  testing::FakeAgent agent(socket_);
  auto client = connected();
  auto netns = netlink::open_netns("/proc/self/ns/net");
  ASSERT_TRUE(netns);
  ASSERT_TRUE(client.call("gc", json::object(), soon(), netns->get()));
  EXPECT_EQ(agent.netns_of("gc"), netlink::identify_netns(netns->get())->inode);
  ASSERT_TRUE(client.call("commit", json::object(), soon()));
  EXPECT_EQ(agent.netns_of("commit"), 0U);
}

TEST_F(Client, RefusalsKeepTheirCode) {
  testing::FakeAgent agent(socket_);
  auto client = connected();
  for (const Code code : {Code::invalid, Code::not_found, Code::exists, Code::exhausted, Code::unavailable,
                          Code::unsupported, Code::denied, Code::io}) {
    agent.refuse("commit", code, "the agent's words");
    const auto reply = client.call("commit", json::object(), soon());
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, code);
    EXPECT_THAT(reply.error().message, HasSubstr("the agent's words"));
  }
}

TEST_F(Client, NonsenseEndsTheConnection) {
  testing::FakeAgent agent(socket_);
  for (const std::string text : {"", "rubbish", "[]", "{}", R"({"ok": 1})", R"({"ok": false})", "\xff\xff"}) {
    auto client = connected();
    agent.say("commit", text);
    const auto reply = client.call("commit", json::object(), soon());
    ASSERT_FALSE(reply) << text;
    EXPECT_EQ(reply.error().code, Code::unavailable) << text;
    EXPECT_THAT(reply.error().message, HasSubstr("'commit'"));
    EXPECT_FALSE(client.call("gc", json::object(), soon()));
  }
  EXPECT_THAT(agent.operations(), ::testing::Each("commit"));
}

TEST_F(Client, ReplyOfTheWrongTypesIsNonsense) {
  testing::FakeAgent agent(socket_);
  agent.answer("check", {{"attached", "yes"}});
  auto client = connected();
  const auto reply = client.call_as<wire::CheckReply>("check", json::object(), soon());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Code::unavailable);
  EXPECT_THAT(reply.error().message, HasSubstr("attached"));
}

TEST_F(Client, LongAnswers) {
  testing::FakeAgent agent(socket_);
  auto client = connected();
  const auto padded = [](std::size_t size) {
    std::string text = R"({"ok": true})";
    return text.append(size - text.size(), ' ');
  };
  agent.say("commit", padded(wire::kMaxMessage));
  EXPECT_TRUE(client.call("commit", json::object(), soon()));
  agent.say("commit", padded(wire::kMaxMessage + 1));
  EXPECT_FALSE(client.call("commit", json::object(), soon()));
}

TEST_F(Client, LongRequestsAreRefusedBeforeTheyAreSent) {
  testing::FakeAgent agent(socket_);
  auto client = connected();
  const auto reply = client.call("gc", {{"x", std::string(wire::kMaxMessage, 'x')}}, soon());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Code::invalid);
  EXPECT_TRUE(client.call("gc", json::object(), soon()));
}

TEST_F(Client, AHangUpIsTold) {
  testing::FakeAgent agent(socket_);
  agent.close_on("commit");
  auto client = connected();
  const auto reply = client.call("commit", json::object(), soon());
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error().message, HasSubstr("closed the connection"));
}

TEST_F(Client, ASilentAgentMeetsTheDeadline) {
  testing::FakeAgent agent(socket_);
  agent.hang("commit");
  auto client = connected();
  const auto started = Clock::now();
  const auto reply = client.call("commit", json::object(), started + milliseconds(200));
  const auto taken = Clock::now() - started;
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Code::unavailable);
  EXPECT_THAT(reply.error().message, HasSubstr("did not answer in time"));
  EXPECT_GE(taken, milliseconds(200));
  EXPECT_LT(taken, milliseconds(1000));
}

TEST_F(Client, HalvesOverlapOtherWork) {
  testing::FakeAgent agent(socket_);
  auto client = connected();
  ASSERT_TRUE(client.send("commit", json::object()));
  EXPECT_TRUE(client.receive("commit", soon()));
}

}  // namespace
}  // namespace netkite::cni
