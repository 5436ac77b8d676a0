// SPDX-License-Identifier: Apache-2.0
// The commands against an agent that answers as agent/api/handlers.hpp describes.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "cli/tests/fake_agent.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::cli {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using testing::Not;

// The text with every run of spaces as one: what the columns hold, not how wide they are.
std::string squeezed(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c != ' ' || !result.ends_with(' ')) result += c;
  }
  return result;
}

FakeAgent::Answer always(const std::string& reply) {
  return [reply](const Json&) { return std::vector<Json>{Json::parse(reply)}; };
}

constexpr const char* kStatus = R"({"ok": true, "version": "0.1.0", "node_name": "node-a", "device": "netkit",
  "uptime_s": 125, "program_origin": "embedded", "rcu_expedite": "idle", "endpoints": 2, "remotes": 3, "peers": 1,
  "uplinks": [{"name": "eth0", "ifindex": 2, "mtu": 1500, "xdp": "native", "services": "xdp"}],
  "pools": [{"prefix": "10.244.1.0/24", "capacity": 254, "taken": 2},
            {"prefix": "fd00::/64", "capacity": 9223372036854775807, "taken": 2}],
  "maps": [{"name": "nk_drops_v1", "type": "percpu_array", "max_entries": 14, "bytes": 4096}],
  "map_bytes": 4096, "memory": {"rss_bytes": 8388608}, "missing": ["netkit scrub"],
  "problems": ["peer b: no route to 192.0.2.2"],
  "programs": [{"name": "nk_from_netdev", "hook": "tcx-ingress", "device": "eth0", "mode": "", "ifindex": 2,
                "prog_id": 11, "link_id": 12, "ours": true},
               {"name": "other", "hook": "tcx-ingress", "device": "eth0", "mode": "", "ifindex": 2,
                "prog_id": 21, "link_id": 22, "ours": false}], "programs_total": 9})";

TEST(Commands, Status) {
  FakeAgent agent(always(kStatus));
  const auto ran = run_cli({"status"}, agent.path());
  EXPECT_EQ(ran.status, 0) << ran.err;
  const auto out = squeezed(ran.out);
  for (const char* line :
       {"node node-a\n", "up 2m 5s\n", "device netkit\n", "peers 1, 3 remote prefixes\n",
        "memory 8.0 MiB resident, 4.0 KiB maps", "missing netkit scrub\n", "problem peer b: no route to 192.0.2.2\n",
        "eth0 2 1500 native xdp\n", "10.244.1.0/24 2 254\n", "fd00::/64 2 unbounded\n",
        "nk_from_netdev tcx-ingress eth0 11 12 netkite\n", "other tcx-ingress eth0 21 22 foreign\n",
        "nk_drops_v1 percpu_array 14 4096\n"}) {
    EXPECT_THAT(out, HasSubstr(line));
  }
}

TEST(Commands, Services) {
  FakeAgent agent(always(R"({"ok": true, "total": 3, "services": [
    {"service": "shop/web", "type": "ClusterIP", "address": "10.96.0.1", "port": 80, "protocol": "TCP", "held": true,
     "outside": "", "backends": [{"address": "10.244.1.2", "port": 8080, "state": "ready"}], "backends_total": 1},
    {"service": "shop/web", "type": "NodePort", "address": "2001:db8::1", "port": 30080, "protocol": "TCP",
     "held": true, "outside": "Local", "backends": [], "backends_total": 0},
    {"service": "shop/x", "type": "ExternalIP", "address": "198.51.100.1", "port": 53, "protocol": "UDP",
     "held": false, "outside": "", "backends": [{"address": "10.244.1.3", "port": 53, "state": "terminating"}],
     "backends_total": 4}]})"));
  const auto ran = run_cli({"services"}, agent.path());
  EXPECT_EQ(ran.status, 0) << ran.err;
  const auto out = squeezed(ran.out);
  for (const char* line :
       {"SERVICE TYPE FRONTEND OUTSIDE BACKENDS\n", "shop/web ClusterIP 10.96.0.1:80/TCP - 10.244.1.2:8080\n",
        "shop/web NodePort [2001:db8::1]:30080/TCP Local\n",
        "shop/x ExternalIP (another service has it) 198.51.100.1:53/UDP - "}) {
    EXPECT_THAT(out, HasSubstr(line));
  }
  EXPECT_THAT(out, HasSubstr("10.244.1.3:53 (terminating)"));
  EXPECT_THAT(out, HasSubstr("and 3 more"));
}

TEST(Commands, JsonHasTheAgentsFields) {
  FakeAgent agent(always(kStatus));
  const auto ran = run_cli({"status", "-o", "json"}, agent.path());
  EXPECT_EQ(ran.status, 0) << ran.err;
  const auto json = Json::parse(ran.out);
  EXPECT_EQ(json["node_name"], "node-a");
  EXPECT_EQ(json["uplinks"][0]["xdp"], "native");
  EXPECT_FALSE(json.contains("ok"));
}

TEST(Commands, EndpointsFollowThePages) {
  FakeAgent agent([](const Json& request) {
    const auto offset = request.value("offset", 0);
    Json endpoint{{"id", offset + 1},
                  {"pod_namespace", "shop"},
                  {"pod_name", "web-" + std::to_string(offset)},
                  {"container_id", "0123456789abcdef"},
                  {"ifname", "eth0"},
                  {"state", "ready"},
                  {"device", "netkit"},
                  {"host_ifname", "nk00"},
                  {"addresses", {"10.244.1.2", "fd00::2"}}};
    if (offset == 1) endpoint["labels"] = {{"app", "web"}, {"tier", "front"}};
    if (offset == 2) endpoint["pod_name"] = "";
    if (offset == 2) endpoint["bandwidth"] = {{"ingress_rate", 20000000}, {"egress_rate", 1000000000}};
    Json reply{{"ok", true}, {"endpoints", {endpoint}}, {"total", 3}};
    if (offset < 2) reply["next"] = offset + 1;
    return std::vector<Json>{reply};
  });
  const auto table = run_cli({"endpoints"}, agent.path());
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_THAT(squeezed(table.out), HasSubstr("1 shop/web-0 eth0 10.244.1.2, fd00::2 netkit nk00 ready\n"));
  EXPECT_THAT(squeezed(table.out), HasSubstr("ready app=web, tier=front\n"));
  EXPECT_THAT(squeezed(table.out), HasSubstr("3 0123456789ab eth0"));  // no pod: the container
  EXPECT_THAT(squeezed(table.out), HasSubstr("ready in 20.0 Mbit/s, out 1.0 Gbit/s\n"));
  const auto json = run_cli({"endpoints", "-o", "json"}, agent.path());
  EXPECT_EQ(Json::parse(json.out)["endpoints"].size(), 3U);
}

TEST(Commands, Drops) {
  FakeAgent agent(always(R"({"ok": true, "drops": [{"reason": "spoofed-source", "packets": 3, "bytes": 180}]})"));
  const auto ran = run_cli({"drops"}, agent.path());
  EXPECT_EQ(ran.out, "REASON          PACKETS  BYTES\nspoofed-source        3    180\n");
  EXPECT_EQ(agent.requests().at(0)["op"], "drops");
}

TEST(Commands, PrefilterListShowsCounters) {
  FakeAgent agent(
      always(R"({"ok": true, "prefixes": [{"prefix": "203.0.113.0/24", "packets": 5, "bytes": 300}], "total": 1})"));
  const auto ran = run_cli({"prefilter", "list"}, agent.path());
  EXPECT_EQ(squeezed(ran.out), "PREFIX PACKETS BYTES\n203.0.113.0/24 5 300\n");
}

TEST(Commands, PrefilterAddSplitsLongListsIntoMessagesThatFit) {
  FakeAgent agent(
      [](const Json& request) { return std::vector<Json>{{{"ok", true}, {"added", request["prefixes"].size()}}}; });
  const auto path = std::filesystem::temp_directory_path() / ("netkite-many-" + std::to_string(getpid()));
  std::ofstream file(path);
  for (int i = 0; i < 10000; ++i) file << "2001:db8:" << std::hex << i << "::/48\n";
  file.close();
  const auto ran = run_cli({"prefilter", "add", "--file", path}, agent.path());
  std::filesystem::remove(path);
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "10000 prefixes denied\n");
  const auto requests = agent.requests();
  EXPECT_GT(requests.size(), 1U);
  EXPECT_LT(requests.size(), 6U);
  EXPECT_LE(agent.longest(), wire::kMaxMessage);
  std::set<std::string> sent;
  for (const auto& request : requests) {
    EXPECT_EQ(request["op"], "prefilter_add");
    for (const auto& prefix : request["prefixes"]) sent.insert(prefix.get<std::string>());
  }
  EXPECT_EQ(sent.size(), 10000U);
}

TEST(Commands, NothingIsSentWhenOnePrefixIsBad) {
  FakeAgent agent(always(R"({"ok": true, "added": 1})"));
  const auto ran = run_cli({"prefilter", "add", "10.0.0.0/8", "10.0.0.0/99"}, agent.path());
  EXPECT_EQ(ran.status, 2);
  EXPECT_THAT(ran.err, HasSubstr("10.0.0.0/99"));
  EXPECT_TRUE(agent.requests().empty());
}

TEST(Commands, AFailureInTheMiddleSaysHowFarItCame) {
  FakeAgent agent([calls = 0](const Json& request) mutable {
    if (calls++ == 0) return std::vector<Json>{{{"ok", true}, {"added", request["prefixes"].size()}}};
    return std::vector<Json>{{{"ok", false}, {"error", {{"code", "exhausted"}, {"message", "the map is full"}}}}};
  });
  const auto path = std::filesystem::temp_directory_path() / ("netkite-full-" + std::to_string(getpid()));
  std::ofstream file(path);
  for (int i = 0; i < 8000; ++i) file << "10." << i / 256 << "." << i % 256 << ".0/24\n";
  file.close();
  const auto ran = run_cli({"prefilter", "add", "--file", path}, agent.path());
  std::filesystem::remove(path);
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, testing::ContainsRegex("after the first [0-9]+ of 8000 prefixes.*the map is full"));
}

TEST(Commands, PrefilterDel) {
  FakeAgent agent(always(R"({"ok": true, "removed": 1})"));
  const auto ran = run_cli({"prefilter", "del", "10.0.0.0/8", "-o", "json"}, agent.path());
  EXPECT_EQ(Json::parse(ran.out)["removed"], 1);
  EXPECT_EQ(agent.requests().at(0)["op"], "prefilter_del");
}

TEST(Commands, AgentErrorsAreOneLine) {
  FakeAgent agent(always(R"({"ok": false, "error": {"code": "io", "message": "map:\nlost"}})"));
  const auto ran = run_cli({"drops"}, agent.path());
  EXPECT_EQ(ran.status, 1);
  EXPECT_EQ(ran.err, "netkite: map:?lost\n");
  EXPECT_EQ(ran.out, "");
}

TEST(Commands, OddRepliesAreErrorsAndNoCrash) {
  for (const char* reply : {"{}", "[]", "7", R"({"ok": 1})", R"({"ok": false})"}) {
    FakeAgent agent(always(reply));
    EXPECT_EQ(run_cli({"status"}, agent.path()).status, 1) << reply;
  }
  FakeAgent odd(always(R"({"ok": true, "uplinks": 7, "pools": [3, null], "maps": {"a": 1}, "memory": []})"));
  EXPECT_EQ(run_cli({"status"}, odd.path()).status, 0);
  FakeAgent closing([](const Json&) { return std::vector<Json>{}; });
  const auto closed = run_cli({"status"}, closing.path());
  EXPECT_EQ(closed.status, 1);
  EXPECT_THAT(closed.err, HasSubstr("closed the connection"));
}

TEST(Commands, WithoutAnAgent) {
  const auto ran = run_cli({"status"}, "/nonexistent/agent.sock");
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("no agent at /nonexistent/agent.sock"));
  EXPECT_EQ(run_cli({"status"}, std::string(200, 'x')).status, 1);
}

TEST(Commands, VersionAndCompletionNeedNoAgent) {
  EXPECT_THAT(run_cli({"version"}).out, testing::StartsWith("netkite "));
  EXPECT_TRUE(Json::parse(run_cli({"version", "-o", "json"}).out).contains("version"));
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_THAT(run_cli({"completion", shell}).out, HasSubstr("prefilter")) << shell;
  }
  EXPECT_EQ(run_cli({"completion", "csh"}).status, 2);
  EXPECT_EQ(run_cli({"--help"}).status, 0);
  EXPECT_THAT(run_cli({"--help"}).out, Not(HasSubstr("\033")));
}

}  // namespace
}  // namespace netkite::cli
