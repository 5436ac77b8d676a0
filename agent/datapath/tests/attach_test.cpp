// SPDX-License-Identifier: Apache-2.0
// Attaching and detaching pods and uplinks: complete, repeatable, closed when anything is missing.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "agent/datapath/tests/lab.hpp"
#include "common/netlink/address.hpp"

namespace netkite::datapath::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class AttachTest : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, AttachTest,
                         testing::Values(wire::DeviceMode::veth, wire::DeviceMode::netkit, wire::DeviceMode::netkit_l2),
                         kind_name);

class VethAttachTest : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, VethAttachTest, testing::Values(wire::DeviceMode::veth), kind_name);

TEST_P(AttachTest, CarriesBothFamiliesBothWays) {
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2", "fd01::2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  EXPECT_TRUE(reaches_pod(pod));
  EXPECT_TRUE(leaves_pod(pod));
  EXPECT_TRUE(ok(datapath_->verify_endpoint(pod.device)));
}

TEST_P(AttachTest, DetachLeavesNothing) {
  const auto pod = make_pod(GetParam(), "nk.pod1", "10.1.0.2", "fd01::2");  // bpffs takes no dots in names
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  EXPECT_THAT(names(pod.device.host_ifindex, from_hook()), ElementsAre("nk_from_pod"));
  EXPECT_THAT(names(pod.device.host_ifindex, to_hook()), ElementsAre("nk_to_pod"));
  EXPECT_EQ(pins("links").size(), 2U);
  EXPECT_EQ(entries_of(*datapath_, "nk_ep4_v1"), 1U);
  EXPECT_EQ(entries_of(*datapath_, "nk_ep6_v1"), 1U);
  EXPECT_EQ(entries_of(*datapath_, "nk_dev_v1"), 1U);

  ASSERT_TRUE(ok(datapath_->detach_endpoint(pod.device)));
  EXPECT_THAT(names(pod.device.host_ifindex, from_hook()), IsEmpty());
  EXPECT_THAT(names(pod.device.host_ifindex, to_hook()), IsEmpty());
  EXPECT_THAT(pins("links"), IsEmpty());
  for (const char* map : {"nk_ep4_v1", "nk_ep6_v1", "nk_dev_v1"}) EXPECT_EQ(entries_of(*datapath_, map), 0U) << map;
  const auto gone = datapath_->verify_endpoint(pod.device);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::not_found);
  EXPECT_FALSE(reaches_pod(pod));
  EXPECT_FALSE(leaves_pod(pod));
  EXPECT_TRUE(ok(datapath_->detach_endpoint(pod.device))) << "what is gone stays gone";
}

TEST_P(VethAttachTest, DetachWaitsForNoRoomInTheRunFolder) {
  options_.masquerade.mode = config::MasqueradeMode::bpf;  // connections are translated, so who departs is written down
  reopen();
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  ASSERT_EQ(::mkdir(folder("run/departed").c_str(), 0700), 0);
  EXPECT_TRUE(ok(datapath_->detach_endpoint(pod.device)));
  Result<Datapath::SweepStep> step = Datapath::SweepStep{};
  while (step && !step->round_over) step = datapath_->sweep_connections();
  ASSERT_FALSE(step);
  EXPECT_THAT(step.error().message, HasSubstr(folder("run/departed")));
}

TEST_P(AttachTest, AgainChangesNothing) {
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto before = chain(pod.device.host_ifindex, from_hook());
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto after = chain(pod.device.host_ifindex, from_hook());
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(before[0].link_id, after[0].link_id);
  EXPECT_EQ(before[0].program_id, after[0].program_id);
}

TEST_P(AttachTest, ClosedWhenALinkIsLost) {
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  ASSERT_TRUE(reaches_pod(pod) && leaves_pod(pod));
  const auto link = [&](Hook hook) { return options_.bpffs + "/links/nkpod1:" + std::string(to_string(hook)); };
  ASSERT_EQ(::unlink(link(from_hook()).c_str()), 0);
  while (!chain(pod.device.host_ifindex, from_hook()).empty())
    ::usleep(1000);  // the last reference goes in the background
  EXPECT_FALSE(leaves_pod(pod));
  const auto verified = datapath_->verify_endpoint(pod.device);
  ASSERT_FALSE(verified);
  EXPECT_THAT(verified.error().message, HasSubstr("nk_from_pod on nkpod1"));

  ASSERT_EQ(::unlink(link(to_hook()).c_str()), 0);
  while (!chain(pod.device.host_ifindex, to_hook()).empty()) ::usleep(1000);
  EXPECT_FALSE(reaches_pod(pod));
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device))) << "attaching again repairs it";
  EXPECT_TRUE(reaches_pod(pod) && leaves_pod(pod));
}

TEST_P(AttachTest, ClosedWithoutPrograms) {
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  ASSERT_TRUE(ok(datapath_->detach_endpoint(pod.device)));
  EXPECT_FALSE(reaches_pod(pod));
  EXPECT_FALSE(leaves_pod(pod));
}

TEST_P(AttachTest, FullMapIsNamedAndLeavesThePodClosed) {
  options_.datapath.max_endpoints = 1;
  reopen();
  const auto first = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  const auto second = make_pod(GetParam(), "nkpod2", "10.1.0.3");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(first.device)));
  const auto full = datapath_->attach_endpoint(second.device);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::exhausted);
  EXPECT_THAT(full.error().message, HasSubstr("nk_dev_v1 is full (1 entries): raise datapath.max_endpoints"));
  EXPECT_THAT(names(second.device.host_ifindex, from_hook()), IsEmpty());
  EXPECT_THAT(names(second.device.host_ifindex, to_hook()), IsEmpty());
  EXPECT_EQ(pins("links").size(), 2U);
  EXPECT_FALSE(reaches_pod(second));
  EXPECT_FALSE(leaves_pod(second));
  EXPECT_TRUE(reaches_pod(first) && leaves_pod(first));
}

TEST_P(AttachTest, PinOfADeadDeviceIsReplaced) {
  auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  auto socket = netlink::Socket::open().value();
  ASSERT_TRUE(ok(netlink::delete_link(socket, std::string("nkpod1"))));
  pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  EXPECT_THAT(names(pod.device.host_ifindex, from_hook()), ElementsAre("nk_from_pod"));
  EXPECT_TRUE(reaches_pod(pod) && leaves_pod(pod));
}

TEST_P(AttachTest, MissingDeviceIsAnError) {
  const EndpointDevice device{.id = 1,
                              .host_ifname = "nkgone",
                              .host_ifindex = 4711,
                              .mode = GetParam(),
                              .addresses = {ip("10.1.0.9")},
                              .pod_mac = {},
                              .host_mac = {}};
  EXPECT_FALSE(datapath_->attach_endpoint(device));
  EXPECT_THAT(pins("links"), IsEmpty());
  EXPECT_EQ(entries_of(*datapath_, "nk_ep4_v1"), 0U);
  EXPECT_TRUE(ok(datapath_->detach_endpoint(device)));
}

TEST_P(AttachTest, RemoveStaleKeepsOnlyWhatIsNamed) {
  const auto kept = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  const auto stale = make_pod(GetParam(), "nkpod2", "10.1.0.3");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(kept.device)));
  ASSERT_TRUE(ok(datapath_->attach_endpoint(stale.device)));
  ASSERT_TRUE(ok(datapath_->remove_stale({kept.device.host_ifindex})));
  EXPECT_EQ(pins("links").size(), 2U);
  EXPECT_THAT(names(stale.device.host_ifindex, from_hook()), IsEmpty());
  EXPECT_EQ(entries_of(*datapath_, "nk_ep4_v1"), 1U);
  EXPECT_EQ(entries_of(*datapath_, "nk_dev_v1"), 1U);
  EXPECT_TRUE(reaches_pod(kept) && leaves_pod(kept));
}

// Whatever is attached at the end of the chain, and whoever takes our link away.
TEST_P(VethAttachTest, TheBackstopStandsBehindOurs) {
  for (const auto position : {config::Position::first, config::Position::last}) {
    options_.datapath.position = position;
    reopen();
    const bool first = position == config::Position::first;
    const auto pod = make_pod(GetParam(), first ? "nkpod1" : "nkpod2", first ? "10.1.0.2" : "10.1.0.3");
    ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
    for (const auto hook : {from_hook(), to_hook()}) {
      const auto entries = query_chain(pod.device.host_ifindex, hook).value().entries;
      ASSERT_EQ(entries.size(), 2U);
      EXPECT_NE(entries[0].link_id, 0U);
      EXPECT_EQ(program_info_by_id(entries[1].program_id)->name, "nk_backstop");
      EXPECT_EQ(entries[1].link_id, 0U) << "no pin and no link to lose";
    }
    ASSERT_TRUE(ok(datapath_->verify_endpoint(pod.device)));
    EXPECT_TRUE(reaches_pod(pod) && leaves_pod(pod));
    ASSERT_TRUE(ok(datapath_->detach_endpoint(pod.device)));
    EXPECT_FALSE(reaches_pod(pod) || leaves_pod(pod));
  }
}

TEST_P(VethAttachTest, AFloodOfEventsIsReadInParts) {
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  ASSERT_TRUE(ok(datapath_->set_monitor(true)));
  auto inside = netlink::Socket::open_in(pod.netns.get()).value();
  const auto eth0 = netlink::get_link(inside, std::string("eth0")).value();
  ASSERT_TRUE(
      ok(netlink::add_address(inside, {.ifindex = eth0.index, .address = ip("10.1.0.77"), .prefix_length = 32})));
  const Udp udp(pod.netns.get(), ip("10.1.0.77"), 1111);
  constexpr std::size_t kSent = 1500;
  for (std::size_t i = 0; i < kSent; ++i) udp.send(ip("192.0.2.100"), 2222, "x");
  std::size_t read = 0;
  const auto count = [&read](const DropEvent&) { ++read; };
  EXPECT_TRUE(datapath_->drain_events(count).value());
  EXPECT_LT(read, kSent);
  EXPECT_FALSE(datapath_->drain_events(count).value());
  EXPECT_EQ(read, kSent);
}

TEST_P(AttachTest, SpoofedSourceIsCountedAndReported) {
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  auto inside = netlink::Socket::open_in(pod.netns.get()).value();
  const auto eth0 = netlink::get_link(inside, std::string("eth0")).value();
  ASSERT_TRUE(
      ok(netlink::add_address(inside, {.ifindex = eth0.index, .address = ip("10.1.0.77"), .prefix_length = 32})));
  const auto spoofed = [&] { return drops_of(*datapath_, "spoofed-source"); };
  const Udp udp(pod.netns.get(), ip("10.1.0.77"), 1111);
  udp.send(ip("192.0.2.100"), 2222, "quiet");
  EXPECT_EQ(spoofed(), 1U);
  std::vector<DropEvent> events;
  const auto keep = [&events](const DropEvent& event) { events.push_back(event); };
  ASSERT_TRUE(ok(datapath_->drain_events(keep)));
  EXPECT_THAT(events, IsEmpty()) << "nobody watches yet";

  ASSERT_TRUE(ok(datapath_->set_monitor(true)));
  udp.send(ip("192.0.2.100"), 2222, "loud");
  ASSERT_TRUE(ok(datapath_->drain_events(keep)));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].reason, "spoofed-source");
  EXPECT_EQ(events[0].hook, "from_pod");
  EXPECT_EQ(events[0].protocol, "UDP");
  EXPECT_EQ(events[0].source, ip("10.1.0.77"));
  EXPECT_EQ(events[0].destination, ip("192.0.2.100"));
  EXPECT_EQ(events[0].source_port, 1111);
  EXPECT_EQ(events[0].destination_port, 2222);
  EXPECT_EQ(events[0].ifindex, pod.device.host_ifindex);
  EXPECT_EQ(events[0].endpoint_id, pod.device.id);
  EXPECT_EQ(spoofed(), 2U);
}

// On kernels of kernel-patches/ (dev/kernel test says so) all that they give; elsewhere nothing of it without netkit.
TEST(Probe, FindsWhatTheKernelGives) {
  const bool patched = std::getenv("NETKITE_PATCHED") != nullptr;
  auto found = probe_features();
  // A machine that pauses meanwhile looks like one that waits.
  for (int i = 0; i < 10 && patched && !found.quick_attach; ++i) found = probe_features();
  EXPECT_EQ(found.quick_attach, patched || (found.netkit && found.quick_attach));
  EXPECT_EQ(found.peer_redirect, patched || (found.netkit && found.peer_redirect));
}

}  // namespace
}  // namespace netkite::datapath::lab
