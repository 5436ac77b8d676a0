// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "cli/tests/fake_agent.hpp"

namespace netkite::cli {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

Json event(const std::string& source, int port) {
  return {{"ok", true},
          {"event",
           {{"time_ns", 1},
            {"reason", "spoofed-source"},
            {"hook", "from-pod"},
            {"ifindex", 7},
            {"endpoint_id", 3},
            {"length", 98},
            {"protocol", "UDP"},
            {"source", source},
            {"destination", "192.0.2.1"},
            {"source_port", port},
            {"destination_port", 53}}}};
}

// The acknowledgement and three messages; the connection stays open.
std::vector<Json> three_events(const Json& /*request*/) {
  return {{{"ok", true}},
          event("10.244.1.9", 4000),
          {{"ok", true}, {"lost", 12}},
          event("fd00::9", 4001),
          event("10.244.1.9", 4002)};
}

TEST(MonitorCommand, PrintsOneLineAnEventAndStopsAtTheCount) {
  FakeAgent agent(three_events);
  const auto ran = run_cli({"monitor", "--count", "2"}, agent.path());
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(std::count(ran.out.begin(), ran.out.end(), '\n'), 3);  // two events and a note
  EXPECT_THAT(
      ran.out,
      HasSubstr(" spoofed-source from-pod ifindex 7 endpoint 3 UDP 10.244.1.9:4000 -> 192.0.2.1:53 length 98\n"));
  EXPECT_THAT(ran.out, HasSubstr("[fd00::9]:4001"));
  EXPECT_THAT(ran.out, HasSubstr("(12 events lost)"));
  EXPECT_EQ(agent.requests().at(0)["op"], "monitor");
}

TEST(MonitorCommand, JsonIsOneObjectALine) {
  FakeAgent agent(three_events);
  const auto ran = run_cli({"monitor", "-n", "1", "-o", "json"}, agent.path());
  const auto json = Json::parse(ran.out);
  EXPECT_EQ(json["reason"], "spoofed-source");
  EXPECT_EQ(json["source_port"], 4000);
}

TEST(MonitorCommand, TheTimeLimitEndsIt) {
  FakeAgent agent([](const Json&) { return std::vector<Json>{{{"ok", true}}}; });
  const auto begin = std::chrono::steady_clock::now();
  const auto ran = run_cli({"monitor", "--timeout", "1"}, agent.path());
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "");
  EXPECT_GE(took, std::chrono::milliseconds(990));
  EXPECT_LT(took, std::chrono::seconds(5));
}

TEST(MonitorCommand, AnInterruptEndsItWithStatusZero) {
  const auto self = pthread_self();
  FakeAgent agent([self](const Json&) {
    pthread_kill(self, SIGINT);  // blocked by now: it goes to the descriptor that the command polls
    return std::vector<Json>{{{"ok", true}}};
  });
  const auto ran = run_cli({"monitor"}, agent.path());
  EXPECT_EQ(ran.status, 0) << ran.err;
}

TEST(MonitorCommand, TheAgentsEndIsAnError) {
  FakeAgent agent([calls = 0](const Json&) mutable {
    return calls++ == 0 ? std::vector<Json>{} : std::vector<Json>{{{"ok", true}}};
  });
  const auto ran = run_cli({"monitor"}, agent.path());
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("closed the connection"));
}

}  // namespace
}  // namespace netkite::cli
