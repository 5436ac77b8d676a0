// SPDX-License-Identifier: Apache-2.0
// The netkit modes, on kernels that have them (6.7 and later, CONFIG_NETKIT).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cni-plugin/tests/sandbox.hpp"
#include "common/netlink/address.hpp"
#include "common/netlink/link_netkit.hpp"
#include "common/netlink/route.hpp"

namespace netkite::cni::testing {
namespace {

using nlohmann::json;

constexpr std::uint32_t kL2 = 0, kL3 = 1, kDrop = 2;  // NETKIT_L2, NETKIT_L3, NETKIT_DROP

class Netkit : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    if (IsSkipped()) return;
    auto host = must(netlink::Socket::open());
    if (!netlink::create_netkit(host, {.host_name = "nkprobe0", .pod_name = "nkprobe1"})) {
      GTEST_SKIP() << "this kernel has no netkit";
    }
    ASSERT_TRUE(netlink::delete_link(host, "nkprobe0"));
  }
  wire::PrepareReply plan(wire::DeviceMode mode) {
    auto reply = veth_plan();
    reply.device = mode;
    reply.headroom = 70;
    if (mode != wire::DeviceMode::netkit) return reply;
    reply.host_mac.reset();
    reply.pod_mac.reset();
    reply.gateway4.reset();
    reply.gateway6.reset();
    return reply;
  }
  json add(wire::DeviceMode mode) {
    agent_->answer("prepare", wire::to_json(plan(mode)));
    const auto answer = call("ADD");
    EXPECT_EQ(answer.status, 0) << answer.output;
    return answer.json;
  }
  netlink::Link host_link() {
    auto host = must(netlink::Socket::open());
    return must(netlink::get_link(host, veth_plan().host_ifname));
  }
  Answer check(wire::DeviceMode mode, const json& result) {
    agent_->answer("check",
                   {{"attached", true}, {"device", wire::to_string(mode)}, {"host_ifindex", host_link().index}});
    auto with_prev = conf();
    with_prev["prevResult"] = result;
    return call("CHECK", with_prev);
  }
};

TEST_F(Netkit, L3PairDropsByDefault) {
  const auto result = add(wire::DeviceMode::netkit);
  const auto host = host_link();
  EXPECT_EQ(host.netkit_headroom.value_or(70), 70U) << "asked for, and kept where the kernel knows of it";
  EXPECT_EQ(host.kind, "netkit");
  EXPECT_TRUE(host.netkit_primary);
  EXPECT_EQ(host.netkit_mode, kL3);
  EXPECT_EQ(host.netkit_policy, kDrop);
  EXPECT_EQ(host.netkit_peer_policy, kDrop);
  EXPECT_TRUE(host.running);
  EXPECT_EQ(host.mtu, 1400U);

  auto pod = pod_->socket();
  const auto link = must(netlink::get_link(pod, "eth0"));
  EXPECT_EQ(link.mtu, 1400U);
  EXPECT_TRUE(link.running);
  EXPECT_EQ(must(netlink::list_addresses(pod, link.index)).size(), 2U);  // no link-local one
  int defaults = 0;
  for (const auto& route : must(netlink::list_routes(pod))) {
    if (route.destination.length() != 0) continue;
    ++defaults;
    EXPECT_FALSE(route.gateway);
    EXPECT_EQ(route.ifindex, link.index);
    EXPECT_EQ(route.link_scope, route.destination.family() == Family::v4);
  }
  EXPECT_EQ(defaults, 2);
  EXPECT_EQ(result["interfaces"][1]["mac"], "00:00:00:00:00:00");
  EXPECT_FALSE(result["ips"][0].contains("gateway"));
}

TEST_F(Netkit, CheckKnowsTheMode) {
  const auto result = add(wire::DeviceMode::netkit);
  const auto answer = check(wire::DeviceMode::netkit, result);
  EXPECT_EQ(answer.status, 0) << answer.output;
  expect_error(check(wire::DeviceMode::netkit_l2, result), 103, "eth0 is not in netkit-l2 mode");
  expect_error(check(wire::DeviceMode::veth, result), 103, "eth0 is of kind 'netkit'");
}

TEST_F(Netkit, L2PairHasMacsAndGateways) {
  const auto result = add(wire::DeviceMode::netkit_l2);
  const auto host = host_link();
  EXPECT_EQ(host.netkit_mode, kL2);
  EXPECT_EQ(host.netkit_policy, kDrop);
  EXPECT_EQ(host.mac, *Mac::parse("02:00:00:00:00:01"));
  EXPECT_EQ(result["ips"][0]["gateway"], "169.254.1.1");
  EXPECT_EQ(check(wire::DeviceMode::netkit_l2, result).status, 0);
}

TEST_F(Netkit, DelLeavesNothing) {
  const auto host = host_snapshot();
  const auto pod = snapshot(pod_->socket());
  for (const auto mode : {wire::DeviceMode::netkit, wire::DeviceMode::netkit_l2}) {
    std::ignore = add(mode);
    EXPECT_EQ(call("DEL").status, 0);
    EXPECT_EQ(host_snapshot(), host);
    EXPECT_EQ(snapshot(pod_->socket()), pod);
  }
}

TEST_F(Netkit, FailedCommitLeavesNothing) {
  const auto host = host_snapshot();
  agent_->answer("prepare", wire::to_json(plan(wire::DeviceMode::netkit)));
  agent_->refuse("commit", Code::exhausted, "the map is full");
  expect_error(call("ADD"), 101, "the map is full");
  EXPECT_EQ(host_snapshot(), host);
}

}  // namespace
}  // namespace netkite::cni::testing
