// SPDX-License-Identifier: Apache-2.0
// What the operations do, through the socket.
#include "agent/api/handlers.hpp"

#include <gmock/gmock.h>

#include "agent/api/tests/server_fixture.hpp"

namespace netkite::api::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST_F(ServerTest, AddAndDelInTwoPhases) {
  serve();
  Client add(path);
  const auto prepared = prepare_on(add, "a");
  ASSERT_EQ(prepared["ok"], true) << prepared;
  const auto reply = wire::from_json<wire::PrepareReply>(prepared);
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->host_ifname, name_of(pod("a")));
  ASSERT_EQ(commit_on(add, "a")["ok"], true);
  add.close();

  Client check(path);
  auto checked = wire::from_json<wire::CheckReply>(check.call("check", attachment_of("a")));
  ASSERT_TRUE(checked);
  EXPECT_TRUE(checked->attached);
  EXPECT_EQ(checked->problem, "");

  Client del(path);
  const auto begun = wire::from_json<wire::RemoveBeginReply>(del.call("remove_begin", attachment_of("a")));
  ASSERT_TRUE(begun);
  EXPECT_TRUE(begun->known);
  EXPECT_NE(begun->netns_inode, 0U);
  EXPECT_EQ(del.call("remove_end", attachment_of("a"))["ok"], true);
  on_agent([this] { expect_nothing_left(); });
}

TEST_F(ServerTest, APluginThatDiesBetweenThePhasesOfAddIsUndone) {
  serve();
  Client plugin(path);
  ASSERT_EQ(prepare_on(plugin, "a")["ok"], true);
  on_agent([this] { return build(pod("a")); });
  plugin.close();
  EXPECT_TRUE(eventually([this] { return manager->size() == 0; }));
  on_agent([this] { expect_nothing_left(); });
}

TEST_F(ServerTest, APluginThatDiesBetweenThePhasesOfDelIsFinished) {
  serve();
  Client add(path);
  ASSERT_EQ(prepare_on(add, "a")["ok"], true);
  ASSERT_EQ(commit_on(add, "a")["ok"], true);
  Client del(path);
  ASSERT_EQ(del.call("remove_begin", attachment_of("a"))["known"], true);
  EXPECT_EQ(on_agent([this] { return links.size(); }), 1U);
  del.close();
  EXPECT_TRUE(eventually([this] { return manager->size() == 0; }));
  on_agent([this] { expect_nothing_left(); });
}

TEST_F(ServerTest, ACommitNeedsItsOwnConnection) {
  serve();
  Client plugin(path);
  ASSERT_EQ(prepare_on(plugin, "a")["ok"], true);
  Client stranger(path);
  EXPECT_EQ(code_of(commit_on(stranger, "a")), "not_found");
  EXPECT_EQ(commit_on(plugin, "a")["ok"], true);
}

TEST_F(ServerTest, AFailedCommitLeavesNothing) {
  serve();
  Client plugin(path);
  ASSERT_EQ(prepare_on(plugin, "a")["ok"], true);
  on_agent([this] { journal.failing = {"attach"}; });
  EXPECT_EQ(code_of(commit_on(plugin, "a")), "io");
  on_agent([this] { expect_nothing_left(); });
  plugin.close();
  on_agent([this] { journal.failing.clear(); });
  EXPECT_EQ(on_agent([this] { return manager->size(); }), 0U);
}

TEST_F(ServerTest, BadFieldsAreNamed) {
  serve();
  Client client(path);
  EXPECT_THAT(message_of(client.call("prepare", json::object(), {netns.get()})), HasSubstr("network"));
  EXPECT_THAT(message_of(client.call("prepare", {{"attachment", 3}}, {netns.get()})), HasSubstr("attachment"));
  auto bad = attachment_of("a");
  bad["attachment"]["ifname"] = "a/b";
  for (const auto* op : {"remove_begin", "remove_end", "check"}) {
    EXPECT_THAT(message_of(client.call(op, bad)), HasSubstr("ifname")) << op;
  }
  EXPECT_THAT(message_of(client.call("check")), HasSubstr("attachment"));
  EXPECT_THAT(message_of(client.call("commit", attachment_of("a"))), HasSubstr("host_ifindex"));
  EXPECT_THAT(message_of(client.call("gc")), HasSubstr("network"));
  EXPECT_THAT(message_of(client.call("prefilter_add", {{"prefixes", "10.0.0.0/8"}})), HasSubstr("prefixes"));
  EXPECT_THAT(message_of(client.call("prefilter_add", {{"prefixes", {"10.0.0.0/8", "x"}}})), HasSubstr("prefixes[1]"));
  EXPECT_THAT(message_of(client.call("endpoints", {{"offset", -1}})), HasSubstr("offset"));
  EXPECT_EQ(on_agent([this] { return datapath.denied_list.size(); }), 0U);
}

TEST_F(ServerTest, GcThroughTheSocket) {
  serve();
  Client add(path);
  for (const auto* id : {"a", "b"}) {
    ASSERT_EQ(prepare_on(add, id)["ok"], true);
    ASSERT_EQ(commit_on(add, id)["ok"], true);
  }
  const wire::GcRequest request{.network = "net", .valid = {pod("a", "")}};
  EXPECT_EQ(add.call("gc", wire::to_json(request))["removed"], 1);
  EXPECT_EQ(on_agent([this] { return manager->list().at(0).attachment.container_id; }), "a");
}

TEST_F(ServerTest, CniStatusFollowsUplinksAndPools) {
  serve();
  Client client(path);
  const auto ask = [&] { return *wire::from_json<wire::CniStatusReply>(client.call("cni_status")); };
  EXPECT_TRUE(ask().ready);
  EXPECT_TRUE(ask().addresses_left);
  EXPECT_EQ(ask().message, "");

  on_agent([this] {
    status.uplinks_attached = false;
    status.problems = {"uplink eth0: no"};
  });
  EXPECT_FALSE(ask().ready);
  EXPECT_EQ(ask().message, "uplink eth0: no");

  on_agent([this] { status.view.uplinks.clear(); });
  EXPECT_TRUE(ask().ready);
  EXPECT_FALSE(ask().addresses_left);
  EXPECT_THAT(ask().message, HasSubstr("no uplink"));

  on_agent([this] {
    status.view.uplinks = {{.ifindex = 2, .name = "eth0", .mtu = 1500}};
    status.uplinks_attached = true;
    for (int i = 0; i < 6; ++i) add(pod(std::to_string(i)));
  });
  EXPECT_TRUE(ask().ready);
  EXPECT_FALSE(ask().addresses_left);
  EXPECT_THAT(ask().message, HasSubstr("no address left"));
}

TEST_F(ServerTest, StatusTellsOfEverything) {
  status.missing = {"netkit: CONFIG_NETKIT"};
  status.problems = {"uplink eth1: broken"};
  status.view.problems = {"peer b: no route"};
  const auto program = [](const std::string& name, std::uint32_t ifindex, const std::string& hook, bool ours) {
    datapath::ProgramReport report;
    report.name = name;
    report.ifindex = ifindex;
    report.hook = hook;
    report.mode = hook == "xdp" ? "generic" : "";
    report.ours = ours;
    return report;
  };
  datapath.program_list = {program("from_netdev", 2, "tcx-ingress", true), program("prefilter", 2, "xdp", true),
                           program("from_pod", 9, "netkit-peer", true), program("spy", 9, "netkit-peer", false)};
  serve();
  Client client(path);
  const auto reply = client.call("status");
  EXPECT_EQ(reply["version"], "1.2.3");
  EXPECT_EQ(reply["node_name"], "node");
  EXPECT_EQ(reply["device"], "netkit");
  EXPECT_EQ(reply["program_origin"], "fake");
  EXPECT_EQ(reply["rcu_expedite"], "off");
  EXPECT_EQ(reply["endpoints"], 0);
  EXPECT_EQ(
      reply["uplinks"],
      (json::array({{{"name", "eth0"}, {"ifindex", 2}, {"mtu", 1500}, {"xdp", "generic"}, {"services", "off"}}})));
  EXPECT_EQ(reply["pools"][0]["prefix"], "10.0.0.0/29");
  EXPECT_EQ(reply["pools"][0]["capacity"], 6);
  EXPECT_EQ(reply["map_bytes"], 5096);
  EXPECT_EQ(reply["maps"][0]["entries"], 3);
  EXPECT_FALSE(reply["maps"][1].contains("entries"));
  EXPECT_GT(reply["memory"]["rss_bytes"], 1 << 20);
  EXPECT_EQ(reply["missing"], json::array({"netkit: CONFIG_NETKIT"}));
  EXPECT_EQ(reply["problems"], json::array({"uplink eth1: broken", "peer b: no route"}));
  EXPECT_EQ(reply["programs_total"], 4);
  ASSERT_EQ(reply["programs"].size(), 3U);
  EXPECT_EQ(reply["programs"][2]["name"], "spy");
  EXPECT_EQ(client.call("drops")["drops"][0]["reason"], "spoofed-source");
  EXPECT_EQ(client.call("programs")["programs"].size(), 4U);
  EXPECT_EQ(client.call("maps")["maps"].size(), 2U);
}

TEST_F(ServerTest, StatusHasRoomForAnyNumberOfProblems) {
  status.problems = {"uplink eth1: broken"};
  for (int i = 0; i < 5000; ++i) status.view.problems.push_back("peer " + std::to_string(i) + ": no route");
  serve();
  Client client(path);
  auto problems = client.call("status")["problems"];
  ASSERT_EQ(problems.size(), 51U);
  EXPECT_EQ(problems.front(), "uplink eth1: broken");
  EXPECT_EQ(problems.back(), "and 4951 more: see the log");
  on_agent([this] { status.problems = {"short", std::string(100'000, 'x')}; });
  problems = client.call("status")["problems"];
  EXPECT_EQ(problems, json::array({"short", "and 5001 more: see the log"}));
}

TEST_F(ServerTest, EndpointsAreListed) {
  serve();
  Client client(path);
  ASSERT_EQ(prepare_on(client, "a")["ok"], true);
  const auto reply = client.call("endpoints");
  EXPECT_EQ(reply["total"], 1);
  const auto& endpoint = reply["endpoints"][0];
  EXPECT_EQ(endpoint["container_id"], "a");
  EXPECT_EQ(endpoint["state"], "preparing");
  EXPECT_EQ(endpoint["addresses"], json::array({"10.0.0.1", "fd00::1"}));
  EXPECT_EQ(endpoint["pod_mac"], "");
}

TEST_F(ServerTest, LongListsComeInPagesOfOneSnapshot) {
  for (std::uint32_t i = 0; i < 5000; ++i) {
    datapath.denied_list.push_back({.prefix = Cidr::host(Ip::v4(0xcb000000U + i)), .packets = i, .bytes = i * 100});
  }
  serve();
  Client client(path);
  std::vector<std::string> seen;
  json request = json::object();
  int pages = 0;
  for (;;) {
    const auto reply = client.call("prefilter_list", request);
    ASSERT_EQ(reply["ok"], true);
    ASSERT_LE(client.last_size, wire::kMaxMessage);
    EXPECT_EQ(reply["total"], 5000);
    for (const auto& each : reply["prefixes"]) seen.push_back(each["prefix"]);
    ++pages;
    if (!reply.contains("next")) break;
    request["offset"] = reply["next"];
    on_agent([this] { datapath.denied_list.clear(); });  // must not shift the following pages
  }
  EXPECT_GT(pages, 2);
  ASSERT_EQ(seen.size(), 5000U);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 5000U);
  EXPECT_EQ(on_agent([this] { return journal.count("denied"); }), 1);
  EXPECT_EQ(client.call("prefilter_list")["total"], 0);
}

TEST_F(ServerTest, PagesOfEndpointsAreOfOneSnapshot) {
  serve();
  Client client(path);
  on_agent([this] {
    for (const auto* id : {"a", "b", "c"}) add(pod(id));
  });
  const auto id_of = [](const json& reply) { return reply["endpoints"][0]["container_id"]; };
  const auto first = client.call("endpoints", {{"limit", 1}});
  on_agent([this, gone = id_of(first)] { return manager->remove_end({.attachment = pod(gone)}).has_value(); });
  const auto second = client.call("endpoints", {{"offset", 1}, {"limit", 1}});
  const auto third = client.call("endpoints", {{"offset", 2}});
  EXPECT_EQ(third["total"], 3);
  EXPECT_EQ((std::set{id_of(first), id_of(second), id_of(third)}), (std::set<json>{"a", "b", "c"}));
  EXPECT_EQ(client.call("endpoints")["total"], 2);
  ASSERT_EQ(client.call("maps", {{"limit", 1}})["next"], 1);
  EXPECT_EQ(client.call("maps", {{"offset", 1}})["maps"][0]["name"], "nk_b");
}

TEST_F(ServerTest, LimitsCutPages) {
  serve();
  Client client(path);
  EXPECT_EQ(client.call("prefilter_add", {{"prefixes", {"192.0.2.0/24", "2001:db8::/32", "10.0.0.0/8"}}})["added"], 3);
  const auto first = client.call("prefilter_list", {{"limit", 2}});
  EXPECT_EQ(first["prefixes"].size(), 2U);
  EXPECT_EQ(first["next"], 2);
  const auto rest = client.call("prefilter_list", {{"offset", 2}, {"limit", 2}});
  EXPECT_EQ(rest["prefixes"].size(), 1U);
  EXPECT_FALSE(rest.contains("next"));
  EXPECT_EQ(client.call("prefilter_list", {{"offset", 99}})["prefixes"].size(), 0U);

  EXPECT_EQ(client.call("prefilter_del", {{"prefixes", {"10.0.0.0/8"}}})["removed"], 1);
  const auto unknown = client.call("prefilter_del", {{"prefixes", {"10.0.0.0/8"}}});
  EXPECT_EQ(code_of(unknown), "not_found");
  EXPECT_THAT(message_of(unknown), HasSubstr("10.0.0.0/8"));
}

TEST_F(ServerTest, MonitoringTurnsEventsOnWhileSomebodyListens) {
  serve();
  std::optional<Client> first(path);
  Client second(path);
  EXPECT_EQ(first->call("monitor"), (json{{"ok", true}}));
  EXPECT_EQ(second.call("monitor"), (json{{"ok", true}}));
  EXPECT_TRUE(eventually([this] { return journal.count("monitor on") == 1; }));
  datapath.raise_event();
  for (auto* client : {&*first, &second}) {
    const auto message = client->receive();
    ASSERT_TRUE(message.contains("event")) << message;
    EXPECT_EQ(message["ok"], true);
    EXPECT_EQ(message["event"]["reason"], "spoofed-source");
    EXPECT_EQ(message["event"]["source"], "10.0.0.1");
    EXPECT_EQ(message["event"]["destination"], "");
  }
  first.reset();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(on_agent([this] { return journal.count("monitor off"); }), 0);
  second.close();
  EXPECT_TRUE(eventually([this] { return journal.count("monitor off") == 1; }));
}

TEST_F(ServerTest, ASlowListenerIsToldWhatItMissed) {
  datapath.events_per_drain = 20000;
  serve();
  Client client(path);
  ASSERT_EQ(client.call("monitor")["ok"], true);
  datapath.raise_event();
  // Not read until all are sent: the round ends before the agent does anything else.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  on_agent([] {});
  int received = 0;
  int lost = 0;
  const auto read_all = [&] {
    for (auto message = client.receive(300); !message.is_null(); message = client.receive(300)) {
      received += message.contains("event") ? 1 : 0;
      lost += message.value("lost", 0);
    }
  };
  read_all();
  on_agent([this] { datapath.events_per_drain = 1; });
  datapath.raise_event();
  read_all();
  EXPECT_GT(lost, 0);
  EXPECT_EQ(received + lost, 20001);
  EXPECT_EQ(Client(path).call("drops")["ok"], true);
}

TEST_F(ServerTest, ServicesSayWhoIsServedFromOutside) {
  service::Facts facts;
  facts.addresses = {Ip::parse("192.0.2.1").value()};
  service::Registry registry(facts);
  kube::Service web;
  web.cluster_ips = {Ip::parse("10.96.0.1").value()};
  web.external_local = true;
  web.ports = {{.name = "", .protocol = kube::Protocol::tcp, .port = 80, .node_port = 30080}};
  registry.set_service("shop/web", web);
  std::ignore = registry.flush();
  status.services = &registry;
  serve();
  Client client(path);
  const auto reply = client.call("services", json::object());
  ASSERT_EQ(reply["ok"], true) << reply;
  ASSERT_EQ(reply["services"].size(), 2U);
  EXPECT_EQ(reply["services"][0]["type"], "ClusterIP");
  EXPECT_EQ(reply["services"][0]["outside"], "");
  EXPECT_EQ(reply["services"][1]["type"], "NodePort");
  EXPECT_EQ(reply["services"][1]["outside"], "Local");
  web.external_local = false;
  on_agent([&] {
    registry.set_service("shop/web", web);
    std::ignore = registry.flush();
  });
  EXPECT_EQ(client.call("services", json::object())["services"][1]["outside"], "Cluster");
}

}  // namespace
}  // namespace netkite::api::testing
