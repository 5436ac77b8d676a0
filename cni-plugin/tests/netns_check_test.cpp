// SPDX-License-Identifier: Apache-2.0
// CHECK: finds every difference from what ADD made, and tolerates what plugins behind us may change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cni-plugin/tests/sandbox.hpp"
#include "common/netlink/address.hpp"
#include "common/netlink/link_veth.hpp"
#include "common/netlink/route.hpp"

namespace netkite::cni::testing {
namespace {

using nlohmann::json;

class Check : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    if (IsSkipped()) return;
    const auto added = call("ADD");
    ASSERT_EQ(added.status, 0) << added.output;
    result_ = added.json;
    let_check_pass();
  }
  Answer check() {
    auto with_prev = conf(result_.at("cniVersion"));
    with_prev["prevResult"] = result_;
    return call("CHECK", with_prev);
  }
  void refuse_with(const json& fields) {
    json reply = *wire::unpack_reply(agent_reply());
    reply.update(fields);
    agent_->answer("check", reply);
  }
  std::string agent_reply() {
    auto host = must(netlink::Socket::open());
    const auto link = must(netlink::get_link(host, veth_plan().host_ifname));
    return wire::success(
               {{"attached", true}, {"device", "veth"}, {"host_ifname", link.name}, {"host_ifindex", link.index}})
        .dump();
  }
  netlink::Link pod_link() {
    auto pod = pod_->socket();
    return must(netlink::get_link(pod, "eth0"));
  }

  json result_;
};

TEST_F(Check, FreshPodPasses) {
  const auto answer = check();
  EXPECT_EQ(answer.status, 0) << answer.output;
  EXPECT_EQ(answer.output, "");
  EXPECT_EQ(wire::from_json<wire::RemoveRequest>(agent_->last("check"))->attachment, attachment());
}

TEST_F(Check, EveryVersionThatHasIt) {
  for (const char* version : {"0.4.0", "1.0.0", "1.1.0"}) {
    SCOPED_TRACE(version);
    ASSERT_EQ(call("DEL").status, 0);
    result_ = call("ADD", conf(version)).json;
    let_check_pass();
    EXPECT_EQ(check().status, 0);
  }
}

TEST_F(Check, ChangesNothing) {
  const auto host = host_snapshot();
  const auto pod = snapshot(pod_->socket());
  ASSERT_EQ(check().status, 0);
  EXPECT_EQ(host_snapshot(), host);
  EXPECT_EQ(snapshot(pod_->socket()), pod);
}

TEST_F(Check, LaterPluginsMayChangeTheRest) {
  auto pod = pod_->socket();
  const auto index = pod_link().index;
  ASSERT_TRUE(netlink::change_link(pod, index, {.mtu = 1300, .mac = *Mac::parse("02:00:00:00:00:77")}));
  ASSERT_TRUE(netlink::add_address(pod, {.ifindex = index, .address = *Ip::parse("192.0.2.9"), .prefix_length = 32}));
  ASSERT_TRUE(
      netlink::add_route(pod, {.destination = *Cidr::parse("198.51.100.0/24"), .ifindex = index, .link_scope = true}));
  result_["interfaces"].push_back({{"name", "ifb0"}});
  result_["interfaces"][1]["mac"] = "02:00:00:00:00:77";
  const auto answer = check();
  EXPECT_EQ(answer.status, 0) << answer.output;
}

TEST_F(Check, InterfaceIsMissing) {
  auto host = must(netlink::Socket::open());
  const auto reply = agent_reply();
  ASSERT_TRUE(netlink::delete_link(host, veth_plan().host_ifname));
  agent_->say("check", reply);
  expect_error(check(), 103, "CNI_IFNAME eth0 is missing");
}

TEST_F(Check, InterfaceIsDown) {
  auto pod = pod_->socket();
  ASSERT_TRUE(netlink::change_link(pod, pod_link().index, {.up = false}));
  expect_error(check(), 103, "eth0 is down");
}

TEST_F(Check, HostEndIsDown) {
  auto host = must(netlink::Socket::open());
  ASSERT_TRUE(netlink::change_link(host, netlink::get_link(host, veth_plan().host_ifname)->index, {.up = false}));
  expect_error(check(), 103, "eth0 has no carrier");
}

TEST_F(Check, AddressIsMissing) {
  result_["ips"].push_back({{"address", "10.0.0.99/32"}, {"interface", 1}});
  expect_error(check(), 103, "10.0.0.99");
}

TEST_F(Check, RouteIsMissing) {
  auto pod = pod_->socket();
  for (const auto& route : must(netlink::list_routes(pod))) {
    if (route.destination.length() == 0 && route.destination.family() == Family::v6) {
      ASSERT_TRUE(netlink::delete_route(pod, route));
    }
  }
  expect_error(check(), 103, "::/0");
}

TEST_F(Check, AnotherDeviceUnderTheName) {
  agent_->answer("check", {{"attached", true}, {"device", "netkit"}, {"host_ifindex", 1}});
  expect_error(check(), 103, "eth0 is of kind 'veth', not 'netkit'");
  agent_->answer("check", {{"attached", true}, {"device", "veth"}, {"host_ifindex", 99999}});
  expect_error(check(), 103, "eth0 is not the peer");
}

TEST_F(Check, AgentsFindings) {
  refuse_with({{"problem", "the link nk-to-pod is missing"}});
  expect_error(check(), 103, "the link nk-to-pod is missing");
  refuse_with({{"attached", false}});
  expect_error(check(), 103, "programs are not attached");
  agent_->refuse("check", Code::not_found, "no such attachment");
  expect_error(check(), 3, "no such attachment");
  agent_.reset();
  expect_error(check(), 11, "agent is not running");
}

TEST_F(Check, ForeignPrevResult) {
  result_["interfaces"][1]["name"] = "eth9";
  expect_error(check(), 7, "prevResult.interfaces does not list CNI_IFNAME eth0");
}

}  // namespace
}  // namespace netkite::cni::testing
