// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoint/manager.hpp"

#include <gmock/gmock.h>

#include "agent/endpoint/tests/manager_fixture.hpp"
#include "common/netlink/netns.hpp"

namespace netkite::endpoint::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string text(const std::vector<Ip>& addresses) {
  std::string all;
  for (const auto& address : addresses) all += address.to_string() + " ";
  return all;
}

TEST_F(ManagerTest, PrepareTellsWhatToBuild) {
  node::View view;
  view.pod_mtu = 8900;
  view.gso_max_size = 65536;
  view.gro_max_size = 131072;
  view.headroom = 70;
  manager->set_view(view);
  const auto reply = prepare(pod("a"));
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->device, wire::DeviceMode::netkit);
  EXPECT_EQ(reply->host_ifname, name_of(pod("a")));
  EXPECT_EQ(text(reply->addresses), "10.0.0.1 fd00::1 ");
  EXPECT_EQ(reply->mtu, 8900U);
  EXPECT_EQ(reply->gso_max_size, 65536U);
  EXPECT_EQ(reply->gro_max_size, 131072U);
  EXPECT_EQ(reply->headroom, 70U);
  EXPECT_FALSE(reply->pod_mac || reply->host_mac || reply->gateway4 || reply->gateway6);
  EXPECT_EQ(rows(), 1U);
  EXPECT_EQ(manager->list().at(0).state, State::preparing);
  EXPECT_EQ(manager->list().at(0).netns, netlink::identify_netns(netns.get()).value());
}

TEST_F(ManagerTest, LayerTwoPodsGetMacsAndGateways) {
  restart(wire::DeviceMode::veth);
  const auto reply = prepare(pod("a"));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->device, wire::DeviceMode::veth);
  ASSERT_TRUE(reply->pod_mac && reply->host_mac && reply->gateway4 && reply->gateway6);
  EXPECT_NE(*reply->pod_mac, *reply->host_mac);
  EXPECT_FALSE(reply->pod_mac->is_multicast());
  EXPECT_EQ(reply->gateway4->to_string(), "169.254.1.1");
  EXPECT_EQ(reply->gateway6->to_string(), "fe80::1");
}

TEST_F(ManagerTest, AnAddressFamilyThatThePodLacksHasNoGateway) {
  restart(wire::DeviceMode::veth);
  wire::PrepareRequest request;
  request.attachment = pod("a");
  request.requested_ips = {Ip::parse("10.0.0.4").value()};
  request.requested_mac = Mac::parse("02:01:02:03:04:05").value();
  const auto reply = manager->prepare(request, netns);
  ASSERT_TRUE(reply);
  EXPECT_EQ(text(reply->addresses), "10.0.0.4 ");
  EXPECT_EQ(reply->pod_mac->to_string(), "02:01:02:03:04:05");
  EXPECT_TRUE(reply->gateway4);
  EXPECT_FALSE(reply->gateway6);
}

TEST_F(ManagerTest, CommitAttachesBeforeTheDeviceCarriesAnything) {
  add(pod("a"));
  const auto name = name_of(pod("a"));
  EXPECT_THAT(journal.calls, ElementsAre("attach " + name, "configure " + name));
  const auto& device = datapath.attached.at(name);
  EXPECT_EQ(device.host_ifindex, 11U);
  EXPECT_EQ(device.id, 1U);
  EXPECT_EQ(text(device.addresses), "10.0.0.1 fd00::1 ");
  EXPECT_EQ(manager->list().at(0).state, State::ready);
  EXPECT_THAT(manager->host_ifindexes(), ElementsAre(11U));
  const auto ledger = Store(options.run_dir).load();
  ASSERT_THAT(ledger->endpoints, SizeIs(1));
  EXPECT_EQ(ledger->endpoints[0].state, State::ready);
  EXPECT_EQ(ledger->endpoints[0].host_ifindex, 11U);
}

TEST_F(ManagerTest, AFailureAtAnyStepOfCommitLeavesNothing) {
  for (const auto* step : {"attach", "configure"}) {
    ASSERT_TRUE(prepare(pod("a"))) << step;
    build(pod("a"));
    journal.failing = {step};
    const auto done = commit(pod("a"));
    journal.failing.clear();
    ASSERT_FALSE(done) << step;
    EXPECT_THAT(done.error().message, HasSubstr(step));
    expect_nothing_left();
  }
}

TEST_F(ManagerTest, AFailingLedgerUndoesTheCommit) {
  ASSERT_TRUE(prepare(pod("a")));
  build(pod("a"));
  std::filesystem::remove_all(options.run_dir + "/endpoints");
  const auto done = commit(pod("a"));
  std::filesystem::create_directory(options.run_dir + "/endpoints");
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("ledger"));
  expect_nothing_left();
}

TEST_F(ManagerTest, ADeviceThatIsNotAsOrderedIsRefused) {
  using Spoil = std::function<void(netlink::Link&)>;
  const std::vector<std::pair<std::string, Spoil>> cases = {
      {"index", [](netlink::Link& link) { link.index += 100; }},
      {"kind", [](netlink::Link& link) { link.kind = "veth"; }},
      {"primary", [](netlink::Link& link) { link.netkit_primary = false; }},
      {"L3 mode", [](netlink::Link& link) { link.netkit_mode = 0; }},
      {"default policies", [](netlink::Link& link) { link.netkit_policy = 0; }},
      {"default policies", [](netlink::Link& link) { link.netkit_peer_policy = 0; }},
      {"default policies", [](netlink::Link& link) { link.netkit_peer_policy.reset(); }},
  };
  for (const auto& [what, spoil] : cases) {
    ASSERT_TRUE(prepare(pod("a"))) << what;
    const auto index = build(pod("a"));
    spoil(links.at(name_of(pod("a"))));
    const auto done = manager->commit({.attachment = pod("a"), .host_ifindex = index, .pod_ifindex = 2});
    ASSERT_FALSE(done) << what;
    EXPECT_THAT(done.error().message, HasSubstr(what));
    expect_nothing_left();
  }
  EXPECT_EQ(journal.count("attach"), 0);
}

TEST_F(ManagerTest, CommitNeedsPrepare) {
  EXPECT_FALSE(commit(pod("a")));
  add(pod("a"));
  const auto again = commit(pod("a"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::not_found);
  EXPECT_EQ(manager->list().at(0).state, State::ready);
}

TEST_F(ManagerTest, OneAttachmentIsAddedOnce) {
  ASSERT_TRUE(prepare(pod("a")));
  const auto meanwhile = prepare(pod("a"));
  ASSERT_FALSE(meanwhile);
  EXPECT_EQ(meanwhile.error().code, Code::unavailable);
  build(pod("a"));
  ASSERT_TRUE(commit(pod("a")));
  const auto later = prepare(pod("a"));
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, Code::exists);
  EXPECT_EQ(manager->pools().at(0).taken, 1U);
}

TEST_F(ManagerTest, NamespacesThatCannotBeAPodsAreRefused) {
  wire::PrepareRequest request;
  request.attachment = pod("a");
  const UniqueFd own(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  const auto host = manager->prepare(request, own);
  ASSERT_FALSE(host);
  EXPECT_EQ(host.error().code, Code::invalid);
  EXPECT_THAT(host.error().message, HasSubstr("node's own"));
  for (const auto* path : {"/dev/null", "/proc/thread-self/ns/mnt"}) {
    const UniqueFd other(::open(path, O_RDONLY | O_CLOEXEC));
    const auto refused = manager->prepare(request, other);
    ASSERT_FALSE(refused) << path;
    EXPECT_EQ(refused.error().code, Code::invalid) << path;
  }
  expect_nothing_left();
}

TEST_F(ManagerTest, AnExhaustedPoolLeavesTheOtherPoolAlone) {
  for (int i = 0; i < 6; ++i) add(pod("p" + std::to_string(i)));
  EXPECT_FALSE(manager->addresses_left());
  const auto more = prepare(pod("more"));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Code::exhausted);
  EXPECT_THAT(more.error().message, HasSubstr("10.0.0.0/29"));
  EXPECT_EQ(manager->pools().at(1).taken, 6U);
  ASSERT_TRUE(manager->remove_end({.attachment = pod("p3")}));
  EXPECT_TRUE(manager->addresses_left());
  EXPECT_TRUE(prepare(pod("more")));
}

TEST_F(ManagerTest, RequestedAddressesAreAllOrNothing) {
  add(pod("a"));
  wire::PrepareRequest request;
  request.attachment = pod("b");
  const auto ask = [&](const std::vector<std::string>& addresses) {
    request.requested_ips.clear();
    for (const auto& address : addresses) request.requested_ips.push_back(Ip::parse(address).value());
    return manager->prepare(request, netns);
  };
  const auto taken = ask({"10.0.0.2", "10.0.0.1"});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::exists);
  EXPECT_THAT(taken.error().message, HasSubstr("10.0.0.1 is taken"));
  const auto outside = ask({"10.0.0.2", "192.0.2.1"});
  ASSERT_FALSE(outside);
  EXPECT_EQ(outside.error().code, Code::invalid);
  EXPECT_THAT(outside.error().message, HasSubstr("192.0.2.1"));
  EXPECT_EQ(manager->pools().at(0).taken, 1U);
  const auto granted = ask({"fd00::9", "10.0.0.2"});
  ASSERT_TRUE(granted);
  EXPECT_EQ(text(granted->addresses), "fd00::9 10.0.0.2 ");
}

TEST_F(ManagerTest, MacsAreRefusedWhereTheyMakeNoSense) {
  wire::PrepareRequest request;
  request.attachment = pod("a");
  request.requested_mac = Mac::parse("02:00:00:00:00:01").value();
  const auto l3 = manager->prepare(request, netns);
  ASSERT_FALSE(l3);
  EXPECT_EQ(l3.error().code, Code::invalid);
  EXPECT_THAT(l3.error().message, HasSubstr("requested_mac"));
  restart(wire::DeviceMode::netkit_l2);
  for (const auto* mac : {"01:00:00:00:00:01", "00:00:00:00:00:00"}) {
    request.requested_mac = Mac::parse(mac).value();
    EXPECT_FALSE(manager->prepare(request, netns)) << mac;
  }
}

TEST_F(ManagerTest, APodWithABandwidthGetsAVethWhereTheDeviceIsOurChoice) {
  wire::PrepareRequest request;
  request.attachment = pod("a");
  request.bandwidth = true;
  const auto chosen = manager->prepare(request, netns);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->device, wire::DeviceMode::veth);
  EXPECT_TRUE(chosen->pod_mac);
  EXPECT_EQ(prepare(pod("b"))->device, wire::DeviceMode::netkit);

  options.device = config::Device::netkit;
  restart();
  EXPECT_EQ(manager->prepare(request, netns)->device, wire::DeviceMode::netkit) << "as configured";
}

TEST_F(ManagerTest, LimitsOfOursNeedNeitherVethNorStack) {
  constexpr wire::Bandwidth kLimits{
      .ingress_rate = 1000000, .ingress_burst = 500000, .egress_rate = 2000000, .egress_burst = 500000};
  wire::PrepareRequest request;
  request.attachment = pod("a");
  request.bandwidth = request.stack_path = true;
  request.limits = kLimits;
  options.bandwidth.enabled = true;
  restart();
  EXPECT_EQ(manager->prepare(request, netns)->device, wire::DeviceMode::netkit);
  build(pod("a"));
  ASSERT_TRUE(commit(pod("a")));
  EXPECT_FALSE(datapath.attached.at(name_of(pod("a"))).stack_path);
  EXPECT_EQ(datapath.attached.at(name_of(pod("a"))).bandwidth, kLimits);

  request.attachment = pod("b");
  request.port_mappings = {wire::parse_port_mapping("8080:80/tcp").value()};
  ASSERT_TRUE(manager->prepare(request, netns));
  build(pod("b"));
  ASSERT_TRUE(commit(pod("b")));
  EXPECT_TRUE(datapath.attached.at(name_of(pod("b"))).stack_path);

  // The ledger has them, whether they are kept or not.
  options.bandwidth.enabled = false;
  restart();
  EXPECT_EQ(datapath.attached.at(name_of(pod("a"))).bandwidth, wire::Bandwidth());
  EXPECT_EQ(journal.count("lift " + name_of(pod("a"))), 1);
  options.bandwidth.enabled = true;
  restart();
  EXPECT_EQ(datapath.attached.at(name_of(pod("a"))).bandwidth, kLimits);
}

TEST_F(ManagerTest, APodMayAskForItsDevice) {
  wire::PrepareRequest request;
  for (const auto device : {wire::DeviceMode::veth, wire::DeviceMode::netkit_l2, wire::DeviceMode::netkit}) {
    request.attachment = pod(std::string(wire::to_string(device)));
    request.device = device;
    const auto reply = manager->prepare(request, netns);
    ASSERT_TRUE(reply) << reply.error().message;
    EXPECT_EQ(reply->device, device);
  }
  restart(wire::DeviceMode::veth, false);
  request.attachment = pod("a");
  const auto refused = manager->prepare(request, netns);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unsupported);
  EXPECT_THAT(refused.error().message, HasSubstr("no netkit devices"));
  request.device = wire::DeviceMode::veth;
  EXPECT_TRUE(manager->prepare(request, netns));
}

TEST_F(ManagerTest, APodHasTheLabelsThatTheClusterSaysOfIt) {
  wire::PrepareRequest request;
  request.attachment = pod("a");
  request.pod_namespace = "shop";
  request.pod_name = "web";
  request.pod_uid = "u-1";
  const auto tier = [this] {
    const auto labels = manager->list().at(0).labels;
    return labels.contains("tier") ? labels.at("tier") : "";
  };
  manager->set_pod({"shop", "web"}, {.uids = {"u-1"}, .labels = {{"tier", "front"}}});
  ASSERT_TRUE(manager->prepare(request, netns));
  EXPECT_EQ(tier(), "front") << "known before the ADD";
  manager->set_pod({"shop", "web"}, {.uids = {"u-2"}, .labels = {{"tier", "back"}}});
  EXPECT_EQ(tier(), "") << "those are its successor's";
  manager->set_pod({"shop", "web"}, {.uids = {}, .labels = {{"tier", "any"}}});
  EXPECT_EQ(tier(), "any");
  manager->forget_pod({"shop", "web"});
  EXPECT_EQ(tier(), "");
}

TEST_F(ManagerTest, NumbersAreUniqueAndUsedAgain) {
  for (const auto* id : {"a", "b", "c"}) add(pod(id));
  ASSERT_TRUE(manager->remove_end({.attachment = pod("b")}));
  add(pod("d"));
  std::vector<std::uint32_t> ids;
  for (const auto& endpoint : manager->list()) ids.push_back(endpoint.id);
  EXPECT_THAT(ids, ::testing::UnorderedElementsAre(1U, 2U, 3U));
}

TEST_F(ManagerTest, UnfinishedAddsAreBounded) {
  options.pools = {Cidr::parse("10.0.0.0/16").value()};
  restart();
  for (int i = 0; i < 512; ++i) ASSERT_TRUE(prepare(pod("p" + std::to_string(i)))) << i;
  const auto more = prepare(pod("more"));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Code::exhausted);
  manager->abandon(pod("p0"));
  EXPECT_TRUE(prepare(pod("more")));
}

TEST_F(ManagerTest, CheckFindsWhatIsMissing) {
  const auto unknown = manager->check(pod("a"));
  ASSERT_TRUE(unknown);
  EXPECT_FALSE(unknown->attached);
  EXPECT_THAT(unknown->problem, HasSubstr("knows nothing"));

  ASSERT_TRUE(prepare(pod("a")));
  EXPECT_THAT(manager->check(pod("a"))->problem, HasSubstr("preparing"));
  const auto index = build(pod("a"));
  ASSERT_TRUE(commit(pod("a")));
  const auto well = manager->check(pod("a"));
  EXPECT_EQ(well->problem, "");
  EXPECT_TRUE(well->attached);
  EXPECT_EQ(well->host_ifindex, index);
  EXPECT_EQ(text(well->addresses), "10.0.0.1 fd00::1 ");

  journal.failing = {"routed"};
  EXPECT_TRUE(manager->check(pod("a"))->attached);
  EXPECT_THAT(manager->check(pod("a"))->problem, HasSubstr("routed"));
  journal.failing.clear();
  datapath.attached.clear();
  EXPECT_FALSE(manager->check(pod("a"))->attached);
  EXPECT_THAT(manager->check(pod("a"))->problem, HasSubstr("no program"));
  links.clear();
  EXPECT_THAT(manager->check(pod("a"))->problem, HasSubstr("no device"));
}

}  // namespace
}  // namespace netkite::endpoint::testing
