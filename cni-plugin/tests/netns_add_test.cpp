// SPDX-License-Identifier: Apache-2.0
// ADD for real: what stands in the kernel afterwards, and what the result says of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "cni-plugin/deferred_del.hpp"
#include "cni-plugin/tests/sandbox.hpp"
#include "common/netlink/address.hpp"
#include "common/netlink/link_veth.hpp"
#include "common/netlink/route.hpp"

namespace netkite::cni::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class Add : public Sandbox {
 protected:
  netlink::Link host_link(const std::string& ifname = "eth0") {
    auto socket = must(netlink::Socket::open());
    return netlink::get_link(socket, veth_plan(ifname).host_ifname).value_or(netlink::Link{});
  }
  netlink::Link pod_link(const std::string& ifname = "eth0") {
    auto socket = pod_->socket();
    return netlink::get_link(socket, ifname).value_or(netlink::Link{});
  }
  std::vector<std::string> pod_addresses() {
    auto socket = pod_->socket();
    std::vector<std::string> texts;
    for (const auto& each : must(netlink::list_addresses(socket, pod_link().index))) {
      texts.push_back(each.address.to_string() + "/" + std::to_string(each.prefix_length));
    }
    return texts;
  }
  std::vector<netlink::Route> pod_defaults() {
    auto socket = pod_->socket();
    auto routes = must(netlink::list_routes(socket));
    std::erase_if(routes, [](const netlink::Route& route) { return route.destination.length() != 0; });
    return routes;
  }
};

TEST_F(Add, BuildsThePair) {
  const auto answer = call("ADD");
  ASSERT_EQ(answer.status, 0) << answer.output;
  const auto host = host_link();
  const auto pod = pod_link();
  for (const auto& link : {host, pod}) {
    EXPECT_EQ(link.kind, "veth");
    EXPECT_TRUE(link.up);
    EXPECT_TRUE(link.running);
    EXPECT_EQ(link.mtu, 1400U);
  }
  EXPECT_EQ(host.mac, *Mac::parse("02:00:00:00:00:01"));
  EXPECT_EQ(pod.mac, *Mac::parse("02:00:00:00:00:02"));
  EXPECT_EQ(host.peer_index, pod.index);
  // No link-local address of the kernel's making.
  EXPECT_THAT(pod_addresses(), UnorderedElementsAre("10.0.0.5/32", "fd00::5/128"));
  const auto defaults = pod_defaults();
  ASSERT_EQ(defaults.size(), 2U);
  EXPECT_EQ(defaults[0].gateway, *Ip::parse("169.254.1.1"));
  EXPECT_EQ(defaults[1].gateway, *Ip::parse("fe80::1"));
}

TEST_F(Add, ResultDescribesIt) {
  const auto answer = call("ADD");
  ASSERT_EQ(answer.status, 0) << answer.output;
  EXPECT_EQ(answer.json,
            json({{"cniVersion", "1.1.0"},
                  {"interfaces",
                   {{{"name", veth_plan().host_ifname}, {"mac", "02:00:00:00:00:01"}, {"mtu", 1400}},
                    {{"name", "eth0"}, {"mac", "02:00:00:00:00:02"}, {"mtu", 1400}, {"sandbox", pod_->path()}}}},
                  {"ips",
                   {{{"address", "10.0.0.5/32"}, {"interface", 1}, {"gateway", "169.254.1.1"}},
                    {{"address", "fd00::5/128"}, {"interface", 1}, {"gateway", "fe80::1"}}}},
                  {"routes", {{{"dst", "0.0.0.0/0"}, {"gw", "169.254.1.1"}}, {{"dst", "::/0"}, {"gw", "fe80::1"}}}},
                  {"dns", json::object()}}));
}

TEST_F(Add, AsksTheAgentInOrder) {
  auto env = environment("ADD");
  env.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web;K8S_POD_UID=u1;IP=10.0.0.5";
  ASSERT_EQ(run_plugin(env, conf().dump()).status, 0);
  EXPECT_THAT(agent_->operations(), ElementsAre("prepare", "commit"));
  EXPECT_EQ(agent_->netns_of("prepare"), pod_->inode());
  const auto prepare = *wire::from_json<wire::PrepareRequest>(agent_->last("prepare"));
  EXPECT_EQ(prepare.attachment, attachment());
  EXPECT_EQ(prepare.netns, pod_->path());
  EXPECT_EQ(prepare.pod_namespace, "ns");
  EXPECT_EQ(prepare.pod_name, "web");
  EXPECT_EQ(prepare.pod_uid, "u1");
  EXPECT_THAT(prepare.requested_ips, ElementsAre(*Ip::parse("10.0.0.5")));
  const auto commit = *wire::from_json<wire::CommitRequest>(agent_->last("commit"));
  EXPECT_EQ(commit.attachment, attachment());
  EXPECT_EQ(commit.host_ifindex, host_link().index);
  EXPECT_EQ(commit.pod_ifindex, pod_link().index);
}

TEST_F(Add, NothingIsUpBeforeTheProgramsAre) {
  netlink::Link host, pod;
  std::vector<std::string> addresses;
  agent_->watch("commit", [&] {
    host = host_link();
    pod = pod_link();
    addresses = pod_addresses();
  });
  ASSERT_EQ(call("ADD").status, 0);
  EXPECT_EQ(host.name, veth_plan().host_ifname);
  EXPECT_FALSE(host.up);
  EXPECT_FALSE(pod.up);
  EXPECT_THAT(addresses, UnorderedElementsAre("10.0.0.5/32", "fd00::5/128"));
}

TEST_F(Add, EveryVersion) {
  for (const char* version : {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    SCOPED_TRACE(version);
    const auto answer = call("ADD", conf(version));
    ASSERT_EQ(answer.status, 0) << answer.output;
    EXPECT_EQ(answer.json.at("cniVersion"), version);
    EXPECT_EQ(answer.json.contains("ips"), std::string(version) >= "0.3.0");
    ASSERT_EQ(call("DEL", conf(version)).status, 0);
  }
}

TEST_F(Add, OneFamilyOnly) {
  for (const char* address : {"10.0.0.7", "fd00::7"}) {
    SCOPED_TRACE(address);
    auto plan = veth_plan();
    plan.addresses = {*Ip::parse(address)};
    agent_->answer("prepare", wire::to_json(plan));
    const auto answer = call("ADD");
    ASSERT_EQ(answer.status, 0) << answer.output;
    EXPECT_EQ(pod_addresses().size(), 1U);
    EXPECT_EQ(pod_defaults().size(), 1U);
    EXPECT_EQ(answer.json.at("routes").size(), 1U);
    ASSERT_EQ(call("DEL").status, 0);
  }
}

TEST_F(Add, Ipv6WhereTheRuntimeTurnedItOff) {
  pod_->write_sysctl("net/ipv6/conf/all/disable_ipv6", "1");
  pod_->write_sysctl("net/ipv6/conf/default/disable_ipv6", "1");
  const auto answer = call("ADD");
  ASSERT_EQ(answer.status, 0) << answer.output;
  EXPECT_THAT(pod_addresses(), UnorderedElementsAre("10.0.0.5/32", "fd00::5/128"));
}

TEST_F(Add, ADefaultRouteOfAnotherInterfaceStays) {
  auto first = veth_plan();
  ASSERT_EQ(call("ADD").status, 0);
  auto plan = veth_plan("net1");
  plan.addresses = {*Ip::parse("10.0.0.6"), *Ip::parse("fd00::6")};
  agent_->answer("prepare", wire::to_json(plan));
  auto env = environment("ADD");
  env.ifname = "net1";
  const auto answer = run_plugin(env, conf().dump());
  ASSERT_EQ(answer.status, 0) << answer.output;
  const auto first_index = pod_link("eth0").index;
  const auto defaults = pod_defaults();
  EXPECT_TRUE(std::any_of(defaults.begin(), defaults.end(), [&](const auto& route) {
    return route.ifindex == first_index && route.destination.family() == Family::v4;
  }));
  // The result names only what is ours.
  for (const auto& route : answer.json.value("routes", json::array())) EXPECT_NE(route.at("dst"), "0.0.0.0/0");
}

TEST_F(Add, TwoInterfacesAtOnce) {
  std::array<Answer, 2> answers;
  std::vector<std::thread> threads;
  // Each finds its own plan in the request, so the agent may answer either.
  FakeAgent second(folder_.path() + "/second.sock");
  auto plan = veth_plan("net1");
  plan.addresses = {*Ip::parse("10.0.0.6"), *Ip::parse("fd00::6")};
  second.answer("prepare", wire::to_json(plan));
  auto second_conf = conf();
  second_conf["agentSocket"] = folder_.path() + "/second.sock";
  auto second_env = environment("ADD");
  second_env.ifname = "net1";
  threads.emplace_back([&] { answers[0] = call("ADD"); });
  threads.emplace_back([&] { answers[1] = run_plugin(second_env, second_conf.dump()); });
  for (auto& thread : threads) thread.join();
  for (const auto& answer : answers) EXPECT_EQ(answer.status, 0) << answer.output;
  EXPECT_TRUE(pod_link("eth0").running);
  EXPECT_TRUE(pod_link("net1").running);
}

TEST_F(Add, BehindAnotherPlugin) {
  auto with_prev = conf("1.0.0");
  with_prev["prevResult"] = json::parse(R"({"cniVersion": "1.0.0", "interfaces": [{"name": "x", "sandbox": "/y"}],
                                            "ips": [{"address": "192.0.2.1/24", "interface": 0}]})");
  const auto answer = call("ADD", with_prev);
  ASSERT_EQ(answer.status, 0) << answer.output;
  EXPECT_EQ(answer.json.at("interfaces").size(), 3U);
  EXPECT_EQ(answer.json.at("ips").at(0).at("interface"), 0);
  EXPECT_EQ(answer.json.at("ips").at(1).at("interface"), 2);
}

TEST_F(Add, PassesDnsOn) {
  auto with_dns = conf();
  with_dns["dns"] = {{"nameservers", {"10.0.0.53"}}};
  EXPECT_EQ(call("ADD", with_dns).json.at("dns"), with_dns["dns"]);
}

TEST_F(Add, DropsTheNoteOfAnEarlierLife) {
  ASSERT_TRUE(write_note(socket_path_, attachment()));
  ASSERT_TRUE(write_note(socket_path_, attachment("other")));
  ASSERT_EQ(call("ADD").status, 0);
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(notes())) names.push_back(entry.path().filename());
  EXPECT_THAT(names, ElementsAre(wire::host_ifname(attachment("other")) + ".json"));
}

TEST_F(Add, ReplacesTheHostEndOfAnEndedNamespace) {
  auto host = must(netlink::Socket::open());
  ASSERT_TRUE(netlink::create_veth(host, {.host_name = veth_plan().host_ifname, .pod_name = "leftover"}));
  const auto answer = call("ADD");
  ASSERT_EQ(answer.status, 0) << answer.output;
  EXPECT_EQ(host_link().peer_index, pod_link().index);
  EXPECT_FALSE(netlink::get_link(host, "leftover"));
}

}  // namespace
}  // namespace netkite::cni::testing
