// SPDX-License-Identifier: Apache-2.0
// Programs of others on our devices: they keep their place and run, and ours keeps its promise beside them.
#include <gmock/gmock.h>

#include "agent/datapath/tests/lab.hpp"
#include "common/netlink/neighbor.hpp"
#include "common/netlink/route.hpp"

namespace netkite::datapath::lab {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ForeignTest : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, ForeignTest,
                         testing::Values(wire::DeviceMode::veth, wire::DeviceMode::netkit, wire::DeviceMode::netkit_l2),
                         kind_name);

TEST_P(ForeignTest, BeforeAndAfterKeepTheirPlaceAndRun) {
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  std::array<Foreign, 4> foreign = {Foreign(-1, "before_from"), Foreign(-1, "after_from"), Foreign(-1, "before_to"),
                                    Foreign(-1, "after_to")};
  foreign[0].attach(pod.device.host_ifindex, from_hook(), true);
  foreign[1].attach(pod.device.host_ifindex, from_hook(), false);
  foreign[2].attach(pod.device.host_ifindex, to_hook(), true);
  foreign[3].attach(pod.device.host_ifindex, to_hook(), false);
  for (int restart = 0; restart < 2; ++restart) {
    reopen();
    ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
    EXPECT_THAT(names(pod.device.host_ifindex, from_hook()), ElementsAre("before_from", "nk_from_pod", "after_from"));
    EXPECT_THAT(names(pod.device.host_ifindex, to_hook()), ElementsAre("before_to", "nk_to_pod", "after_to"));
    std::vector<std::uint64_t> before;
    for (const auto& each : foreign) before.push_back(each.runs());
    EXPECT_TRUE(leaves_pod(pod));
    EXPECT_TRUE(reaches_pod(pod));
    for (std::size_t i = 0; i < foreign.size(); ++i) EXPECT_GT(foreign[i].runs(), before[i]) << i;
  }
  std::size_t others = 0;
  const auto reports = datapath_->programs().value();
  for (const auto& program : reports) others += program.ours ? 0U : 1U;
  EXPECT_EQ(others, 4U);
  ASSERT_TRUE(ok(datapath_->detach_endpoint(pod.device)));
  EXPECT_THAT(names(pod.device.host_ifindex, from_hook()), ElementsAre("before_from", "after_from"));
  EXPECT_FALSE(leaves_pod(pod)) << "what others pass on is not enough";
  EXPECT_FALSE(reaches_pod(pod));
}

TEST_P(ForeignTest, OnesBehindSeeWhatWeAcceptedOnly) {
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  Foreign behind(-1, "behind");
  behind.attach(pod.device.host_ifindex, to_hook(), false);
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  EXPECT_TRUE(reaches_pod(pod));
  const auto runs = behind.runs();
  EXPECT_GT(runs, 0U);
  auto node = netlink::Socket::open().value();
  ASSERT_TRUE(ok(netlink::add_route(
      node, {.destination = cidr("10.9.9.9/32"), .ifindex = pod.device.host_ifindex, .link_scope = true})));
  if (GetParam() != wire::DeviceMode::netkit) {
    ASSERT_TRUE(ok(netlink::add_permanent_neighbor(node, pod.device.host_ifindex, ip("10.9.9.9"), pod.device.pod_mac)));
  }
  const Udp udp(-1, ip("192.0.2.100"), 0);
  udp.send(ip("10.9.9.9"), 1, "not the pod's");
  EXPECT_EQ(drops_of(*datapath_, "not-for-pod"), 1U);
  EXPECT_EQ(behind.runs(), runs);
}

TEST_P(ForeignTest, PositionIsThatOfTheConfiguration) {
  for (const auto position : {config::Position::first, config::Position::last}) {
    options_.datapath.position = position;
    reopen();
    const auto pod = make_pod(GetParam(), position == config::Position::first ? "nkpod1" : "nkpod2",
                              position == config::Position::first ? "10.1.0.2" : "10.1.0.3");
    Foreign other;
    other.attach(pod.device.host_ifindex, from_hook(), true);
    ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
    if (position == config::Position::first) {
      EXPECT_THAT(names(pod.device.host_ifindex, from_hook()), ElementsAre("nk_from_pod", "foreign"));
    } else {
      EXPECT_THAT(names(pod.device.host_ifindex, from_hook()), ElementsAre("foreign", "nk_from_pod"));
    }
    EXPECT_TRUE(leaves_pod(pod));
  }
}

// A packet that the uplink hands to a pod directly would skip programs on the pod's device.
TEST_P(ForeignTest, UplinkGoesThroughThePodsDeviceWhileOthersAreThere) {
  const auto uplink = make_uplink("nkup0");
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink.ifindex, uplink.name)));
  ASSERT_TRUE(ok(datapath_->set_remotes(
      {{.prefix = cidr("192.0.2.2/32"), .ifindex = uplink.ifindex, .mtu = 1500, .nexthop = ip("192.0.2.2")}})));
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const Udp inside(pod.netns.get(), ip("10.1.0.2"), 5000);
  const Udp far(uplink.netns.get(), ip("192.0.2.2"), 5001);
  const auto arrives = [&] {
    far.send(ip("10.1.0.2"), 5000, "far");
    return inside.receive(300) == "far";
  };
  const auto to_pod_runs = [&] { return runs_of(chain(pod.device.host_ifindex, to_hook()).front().program_id); };
  const bool short_way = datapath_->missing().empty();
  EXPECT_TRUE(arrives());
  EXPECT_EQ(to_pod_runs(), short_way ? 0U : 1U) << "the short way skips the device";

  Foreign other;
  other.attach(pod.device.host_ifindex, to_hook(), false);
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto runs = other.runs();
  EXPECT_TRUE(arrives());
  EXPECT_EQ(other.runs(), runs + 1);

  other = Foreign();
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto before = to_pod_runs();
  EXPECT_TRUE(arrives());
  EXPECT_EQ(to_pod_runs(), short_way ? before : before + 1) << "the short way again";
}

class UplinkTest : public LabTest {};

TEST_F(UplinkTest, AttachesOnceAndDetaches) {
  reopen();
  const auto uplink = make_uplink("nk.up0");
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink.ifindex, uplink.name)));
  Foreign before(-1, "before");
  Foreign after(-1, "after");
  before.attach(uplink.ifindex, Hook::tcx_ingress, true);
  after.attach(uplink.ifindex, Hook::tcx_ingress, false);
  const auto link = chain(uplink.ifindex, Hook::tcx_ingress)[1].link_id;
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink.ifindex, uplink.name)));
  EXPECT_THAT(names(uplink.ifindex, Hook::tcx_ingress), ElementsAre("before", "nk_from_netdev", "after"));
  EXPECT_EQ(chain(uplink.ifindex, Hook::tcx_ingress)[1].link_id, link);
  EXPECT_THAT(pins("links"), ElementsAre("nk:up0:tcx-ingress"));
  ASSERT_TRUE(ok(datapath_->detach_uplink(uplink.ifindex, uplink.name)));
  EXPECT_THAT(names(uplink.ifindex, Hook::tcx_ingress), ElementsAre("before", "after"));
  EXPECT_THAT(pins("links"), IsEmpty());
}

}  // namespace
}  // namespace netkite::datapath::lab
