// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "cli/arguments.hpp"
#include "cli/tests/fake_agent.hpp"

namespace netkite::cli {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using testing::Not;

// Three steps of a table: two lines, none, one.
FakeAgent::Answer steps(const std::string& key, const Json& line) {
  return [key, line](const Json& request) {
    const auto place = request.value("offset", 0);
    Json reply{{"ok", true}, {key, Json::array()}, {"used", 6}, {"room", 2048}};
    if (place != 7) reply[key].push_back(line);
    if (place == 0) reply[key].push_back(line);
    if (place < 9) reply["next"] = place == 0 ? 7 : 9;
    return std::vector<Json>{reply};
  };
}

// Fields of other kinds than they should be.
FakeAgent::Answer always_odd() {
  return [](const Json&) {
    return std::vector<Json>{Json::parse(R"({"ok": true, "entries": [3, null, {"from": 7, "to": []}, {"idle_s": "x"}],
        "connections": [[], {"client": {}}], "next": "far", "removed": -1, "used": null})")};
  };
}

const Json kTranslation = Json::parse(R"({"use": "service", "protocol": "TCP", "state": "established",
    "client": "203.0.113.9", "client_port": 40000, "entrance": "192.0.2.10", "entrance_port": 30080,
    "backend": "fd77::2", "backend_port": 8080, "source": "192.0.2.10", "source_port": 61001,
    "idle_s": 65, "expires_s": 7935})");
const Json kEntry = Json::parse(R"({"use": "masquerade", "protocol": "UDP", "state": "unanswered",
    "direction": "original",
    "from": {"source": "10.77.1.2", "source_port": 5353, "destination": "203.0.113.9", "destination_port": 53},
    "to": {"source": "192.0.2.10", "source_port": 61002, "destination": "203.0.113.9", "destination_port": 53},
    "idle_s": 3, "expires_s": 27})");

TEST(Connections, ATranslationIsOneLine) {
  FakeAgent agent(steps("connections", kTranslation));
  const auto ran = run_cli({"nat", "--limit", "1"}, agent.path());
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out,
            "PROTOCOL  CLIENT             ENTRANCE          BACKEND         SOURCE            STATE        IDLE   USE\n"
            "TCP       203.0.113.9:40000  192.0.2.10:30080  [fd77::2]:8080  192.0.2.10:61001  established  1m 5s  "
            "service\n"
            "the first 1, of a table with 6 of 2048 entries in use; --limit shows more\n");
  EXPECT_EQ(agent.requests().size(), 1U);
}

TEST(Connections, AllStepsAreFollowedAndNothingIsCutWithoutAWord) {
  FakeAgent agent(steps("entries", kEntry));
  const auto all = run_cli({"conntrack", "list"}, agent.path());
  EXPECT_THAT(all.out, HasSubstr("UDP       original   10.77.1.2:5353 > 203.0.113.9:53  192.0.2.10:61002 > "
                                 "203.0.113.9:53  unanswered  3s    27s      masquerade\n"));
  EXPECT_THAT(all.out, Not(HasSubstr("--limit")));
  EXPECT_EQ(agent.requests().size(), 3U);
  const auto just = Json::parse(run_cli({"conntrack", "list", "-l", "3", "-o", "json"}, agent.path()).out);
  EXPECT_EQ(just["entries"].size(), 3U);
  EXPECT_EQ(just["more"], false);
  EXPECT_EQ(just["room"], 2048);
  const auto cut = Json::parse(run_cli({"conntrack", "list", "-l", "2", "-o", "json"}, agent.path()).out);
  EXPECT_EQ(cut["entries"].size(), 2U);
  EXPECT_EQ(cut["more"], true);
}

TEST(Connections, AFlushGoesThroughTheWholeTable) {
  FakeAgent agent([](const Json& request) {
    Json reply{{"ok", true}, {"removed", 2}};
    if (request.value("offset", 0) == 0) reply["next"] = 4;
    return std::vector<Json>{reply};
  });
  const auto ran =
      run_cli({"conntrack", "flush", "--address", "FD77::0:2", "-p", "53", "--protocol", "udp"}, agent.path());
  EXPECT_EQ(ran.out, "4 connections forgotten\n") << ran.err;
  const auto requests = agent.requests();
  ASSERT_EQ(requests.size(), 2U);
  for (const auto& request : requests) {
    EXPECT_EQ(request["op"], "conntrack_flush");
    EXPECT_EQ(request["address"], "fd77::2");
    EXPECT_EQ(request["port"], 53);
    EXPECT_EQ(request["protocol"], "udp");
  }
  EXPECT_EQ(Json::parse(run_cli({"conntrack", "flush", "-o", "json"}, agent.path()).out)["removed"], 4);
  EXPECT_FALSE(agent.requests().back().contains("address"));
}

TEST(Connections, AFlushThatEndsHalfWaySaysSo) {
  FakeAgent agent([](const Json& request) {
    if (request.value("offset", 0) == 0) return std::vector<Json>{{{"ok", true}, {"removed", 2}, {"next", 4}}};
    return std::vector<Json>{{{"ok", false}, {"error", {{"code", "io"}, {"message", "lost"}}}}};
  });
  const auto ran = run_cli({"conntrack", "flush"}, agent.path());
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("after 2 connections, which are forgotten: lost"));
}

TEST(Connections, OddRepliesAreNoCrash) {
  FakeAgent agent(always_odd());
  for (const char* format : {"table", "json"}) {
    EXPECT_EQ(run_cli({"nat", "-o", format}, agent.path()).status, 0);
    EXPECT_EQ(run_cli({"conntrack", "list", "-o", format}, agent.path()).status, 0);
    EXPECT_EQ(run_cli({"conntrack", "flush", "-o", format}, agent.path()).status, 0);
  }
}

TEST(Connections, WrongUsageNamesTheOption) {
  FakeAgent agent(always_odd());
  const std::vector<std::pair<std::vector<std::string>, std::string>> mistakes = {
      {{"conntrack"}, "conntrack: list or flush?"},
      {{"conntrack", "show"}, "unknown command 'conntrack show'"},
      {{"conntrack", "list", "--limit", "0"}, "--limit wants a positive number"},
      {{"conntrack", "list", "--port", "1"}, "takes no --port"},
      {{"conntrack", "flush", "--address", "10.0.0.0/8"}, "--address"},
      {{"conntrack", "flush", "--port", "65536"}, "--port wants"},
      {{"conntrack", "flush", "--protocol", "sctp"}, "--protocol is tcp, udp, icmp or icmpv6, not 'sctp'"},
      {{"conntrack", "flush", "everything"}, "unexpected argument 'everything'"},
      {{"nat", "-a", "10.0.0.1"}, "nat takes no --address"}};
  for (const auto& [words, complaint] : mistakes) {
    const auto ran = run_cli(words, agent.path());
    EXPECT_EQ(ran.status, 2) << words.back();
    EXPECT_THAT(ran.err, HasSubstr(complaint));
  }
  EXPECT_TRUE(agent.requests().empty());
}

}  // namespace
}  // namespace netkite::cli
