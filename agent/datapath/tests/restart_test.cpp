// SPDX-License-Identifier: Apache-2.0
// The agent ends and starts again: the same links, new programs, no packet lost, whatever became of the pins.
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "agent/datapath/tests/lab.hpp"

namespace netkite::datapath::lab {
namespace {

using testing::HasSubstr;

class RestartTest : public DeviceTest {
 protected:
  // Another agent's hold on links and maps: what keeps them when the pins are gone.
  void hold(std::uint32_t ifindex, Hook hook) {
    for (const auto& entry : chain(ifindex, hook)) held_.emplace_back(bpf_link_get_fd_by_id(entry.link_id));
  }
  void remove_pins() const {
    for (const char* name : {"links", "maps"}) {
      for (const auto& pin : pins(name)) ASSERT_EQ(::unlink((options_.bpffs + "/" + name + "/" + pin).c_str()), 0);
    }
  }
  std::vector<UniqueFd> held_;
};
INSTANTIATE_TEST_SUITE_P(Devices, RestartTest,
                         testing::Values(wire::DeviceMode::veth, wire::DeviceMode::netkit, wire::DeviceMode::netkit_l2),
                         kind_name);

TEST_P(RestartTest, ReplacesProgramsWithoutLosingAPacket) {
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto from = chain(pod.device.host_ifindex, from_hook());
  const auto to = chain(pod.device.host_ifindex, to_hook());

  const Udp inside(pod.netns.get(), ip("10.1.0.2"), 5000);
  const Udp outside(-1, ip("192.0.2.100"), 5001);
  std::atomic<bool> done = false;
  std::atomic<std::uint64_t> sent = 0;
  std::thread sender([&] {
    for (; !done; ++sent) {
      inside.send(ip("192.0.2.100"), 5001, "out");
      outside.send(ip("10.1.0.2"), 5000, "in");
      ::usleep(200);
    }
  });
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  std::thread receiver([&] {
    while (outside.receive(300) == "out") ++out;
  });
  std::thread pod_receiver([&] {
    while (inside.receive(300) == "in") ++in;
  });
  for (int restarts = 0; restarts < 3 || sent < 200; ++restarts) {
    reopen();
    ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  }
  done = true;
  sender.join();
  receiver.join();
  pod_receiver.join();
  EXPECT_EQ(out, sent);
  EXPECT_EQ(in, sent);

  const auto from_now = chain(pod.device.host_ifindex, from_hook());
  const auto to_now = chain(pod.device.host_ifindex, to_hook());
  ASSERT_EQ(from_now.size(), 1U);
  ASSERT_EQ(to_now.size(), 1U);
  EXPECT_EQ(from_now[0].link_id, from[0].link_id);
  EXPECT_EQ(to_now[0].link_id, to[0].link_id);
  EXPECT_NE(from_now[0].program_id, from[0].program_id);
  EXPECT_NE(to_now[0].program_id, to[0].program_id);
}

TEST_P(RestartTest, LostPinsAreMadeAgain) {
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  hold(pod.device.host_ifindex, from_hook());
  hold(pod.device.host_ifindex, to_hook());
  const auto from = chain(pod.device.host_ifindex, from_hook());
  const auto links = pins("links");
  const auto maps = pins("maps");
  datapath_.reset();
  remove_pins();
  EXPECT_TRUE(reaches_pod(pod) && leaves_pod(pod)) << "the links live on";

  reopen();
  EXPECT_EQ(entries_of(*datapath_, "nk_ep4_v1"), 1U) << "the map of the running programs, not a new one";
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto now = chain(pod.device.host_ifindex, from_hook());
  ASSERT_EQ(now.size(), 1U);
  EXPECT_EQ(now[0].link_id, from[0].link_id);
  EXPECT_EQ(chain(pod.device.host_ifindex, to_hook()).size(), 1U);
  EXPECT_EQ(pins("links"), links);
  EXPECT_EQ(pins("maps"), maps);
  held_.clear();
  EXPECT_TRUE(reaches_pod(pod) && leaves_pod(pod)) << "the new pins hold them";
}

TEST_P(RestartTest, AnotherNodesMapsAreNotAdopted) {
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto there = new_netns();
  std::thread([&] {
    ASSERT_EQ(::setns(there.get(), CLONE_NEWNET), 0);
    auto other = options_;
    other.bpffs = folder("bpf/other");
    auto opened = Datapath::open(other);
    ASSERT_TRUE(ok(opened));
    EXPECT_EQ(entries_of(**opened, "nk_ep4_v1"), 0U);
  }).join();
}

TEST_P(RestartTest, MovesThePinOfARenamedDevice) {
  auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto from = chain(pod.device.host_ifindex, from_hook());
  std::filesystem::rename(options_.bpffs + "/links/nkpod1:" + std::string(to_string(from_hook())),
                          options_.bpffs + "/links/older:" + std::string(to_string(from_hook())));
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  EXPECT_EQ(chain(pod.device.host_ifindex, from_hook())[0].link_id, from[0].link_id);
  EXPECT_EQ(pins("links").size(), 2U);
  EXPECT_EQ(pins("links")[0].substr(0, 7), "nkpod1:");
}

TEST_P(RestartTest, ResizesMapsAndKeepsTheirEntries) {
  options_.datapath.max_endpoints = 4;
  options_.datapath.event_buffer = 8192;
  reopen();
  const auto first = make_pod(GetParam(), "nkpod1", "10.1.0.2", "fd01::2");
  const auto second = make_pod(GetParam(), "nkpod2", "10.1.0.3", "fd01::3");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(first.device)));
  ASSERT_TRUE(ok(datapath_->attach_endpoint(second.device)));
  ASSERT_TRUE(ok(datapath_->set_remotes(
      {{.prefix = cidr("10.2.0.0/16"), .ifindex = 1, .mtu = 1500, .nexthop = ip("192.0.2.2")}})));

  options_.datapath.max_endpoints = 100;
  options_.datapath.max_remotes = 32;
  options_.datapath.event_buffer = 16384;
  reopen();
  const auto reports = datapath_->maps().value();
  const auto size_of = [&](const std::string& map) {
    return std::ranges::find(reports, map, &MapReport::name)->max_entries;
  };
  for (const char* map : {"nk_ep4_v1", "nk_ep6_v1", "nk_dev_v1"}) EXPECT_EQ(size_of(map), 100U) << map;
  EXPECT_EQ(size_of("nk_events_v1"), 16384U);
  EXPECT_EQ(size_of("nk_remote4_v1"), 32U);
  EXPECT_EQ(entries_of(*datapath_, "nk_ep4_v1"), 2U);
  EXPECT_EQ(entries_of(*datapath_, "nk_ep6_v1"), 2U);
  EXPECT_EQ(entries_of(*datapath_, "nk_remote4_v1"), 1U);
  EXPECT_TRUE(reaches_pod(first) && leaves_pod(first)) << "the old programs have the old maps";
  ASSERT_TRUE(ok(datapath_->attach_endpoint(first.device)));
  EXPECT_TRUE(reaches_pod(first) && leaves_pod(first));
  ASSERT_TRUE(ok(datapath_->detach_endpoint(second.device)));

  reopen();
  EXPECT_EQ(entries_of(*datapath_, "nk_ep4_v1"), 1U) << "the new map is the pinned one";
  for (const auto& pin : pins("maps")) EXPECT_EQ(pin.find("_new"), std::string::npos) << pin;
}

TEST_P(RestartTest, TooSmallASizeChangesNothing) {
  const auto first = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  const auto second = make_pod(GetParam(), "nkpod2", "10.1.0.3");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(first.device)));
  ASSERT_TRUE(ok(datapath_->attach_endpoint(second.device)));
  datapath_.reset();
  const auto before = options_;
  options_.datapath.max_endpoints = 1;
  const auto opened = Datapath::open(options_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::exhausted);
  EXPECT_THAT(opened.error().message, HasSubstr("datapath.max_endpoints"));
  EXPECT_TRUE(reaches_pod(first) && leaves_pod(second));
  options_ = before;
  reopen();
  EXPECT_EQ(entries_of(*datapath_, "nk_ep4_v1"), 2U);
}

}  // namespace
}  // namespace netkite::datapath::lab
