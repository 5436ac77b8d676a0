// SPDX-License-Identifier: Apache-2.0
// A pod may be entered past its device just as long as both of its links are there and somebody watches them.
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "agent/datapath/tests/lab.hpp"
#include "bpf/abi/netkite.h"

namespace netkite::datapath::lab {
namespace {

class GuardTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    pod_ = make_pod(GetParam(), "nkpod1", "10.1.0.2", "fd01::2");
    other_ = make_pod(GetParam(), "nkpod2", "10.1.0.3");
    attach_both();
    if (datapath_->missing().empty()) return;
    EXPECT_FALSE(guarded(pod_));
    EXPECT_TRUE(pins("guard").empty());
    GTEST_SKIP() << datapath_->missing().front();
  }

  void attach_both() {
    ASSERT_TRUE(ok(datapath_->attach_endpoint(pod_.device)));
    ASSERT_TRUE(ok(datapath_->attach_endpoint(other_.device)));
  }

  [[nodiscard]] bool guarded(const Pod& pod) const {
    nk_device device{};
    EXPECT_EQ(bpf_map_lookup_elem(pinned_map("nk_dev_v1").get(), &pod.device.host_ifindex, &device), 0);
    return (device.flags & NK_EP_DIRECT) != 0;
  }
  // The kernel closes a link some time after its last pin.
  [[nodiscard]] bool loses_guard(const Pod& pod) const {
    for (int attempt = 0; attempt < 500; ++attempt, ::usleep(10000)) {
      if (!guarded(pod)) return true;
    }
    return false;
  }
  void unpin(const std::string& folder, const std::string& name) const {
    ASSERT_EQ(::unlink((options_.bpffs + "/" + folder + "/" + name).c_str()), 0);
  }

  Pod pod_, other_;
};
INSTANTIATE_TEST_SUITE_P(Devices, GuardTest,
                         testing::Values(wire::DeviceMode::veth, wire::DeviceMode::netkit, wire::DeviceMode::netkit_l2),
                         kind_name);

TEST_P(GuardTest, SeesEachLinkGo) {
  for (const auto hook : {from_hook(), to_hook()}) {
    ASSERT_TRUE(guarded(pod_)) << to_string(hook);
    EXPECT_NE(epoch(), 0U);
    unpin("links", pod_.device.host_ifname + ":" + std::string(to_string(hook)));
    EXPECT_TRUE(loses_guard(pod_)) << to_string(hook);
    EXPECT_EQ(epoch(), 0U) << "what programs remember is still good";
    EXPECT_TRUE(guarded(other_));
    ASSERT_TRUE(ok(datapath_->attach_endpoint(pod_.device)));
  }
  EXPECT_TRUE(guarded(pod_));
}

TEST_P(GuardTest, SeesALinkGoWithoutTheAgent) {
  datapath_.reset();
  unpin("links", pod_.device.host_ifname + ":" + std::string(to_string(to_hook())));
  EXPECT_TRUE(loses_guard(pod_));
  EXPECT_TRUE(guarded(other_));
}

TEST_P(GuardTest, TakesAllPodsWithItWhenItGoes) {
  for (const auto& name : pins("guard")) {
    unpin("guard", name);
    if (name == "bpf_tracing_link_release") break;
  }
  EXPECT_TRUE(loses_guard(pod_));
  EXPECT_TRUE(loses_guard(other_));
  EXPECT_EQ(epoch(), 0U);
}

TEST_P(GuardTest, IsReplacedWithoutAGap) {
  const auto before = pins("guard");
  EXPECT_THAT(before, testing::Contains("tcx_link_release"));
  reopen();
  EXPECT_EQ(pins("guard"), before);
  EXPECT_TRUE(guarded(pod_));
  EXPECT_TRUE(guarded(other_));
  attach_both();
  ASSERT_TRUE(ok(datapath_->remove_stale({pod_.device.host_ifindex, other_.device.host_ifindex})));
  EXPECT_TRUE(guarded(pod_));
  unpin("links", pod_.device.host_ifname + ":" + std::string(to_string(to_hook())));
  EXPECT_TRUE(loses_guard(pod_));
  EXPECT_TRUE(guarded(other_));
}

// Where the kernel can, neighbours' packets skip the device too, and take the way through it as soon as they must.
TEST_P(GuardTest, NeighboursMeetPastTheDevice) {
  const Udp mine(pod_.netns.get(), ip("10.1.0.2"), 5000);
  const Udp theirs(other_.netns.get(), ip("10.1.0.3"), 5001);
  const auto to_pod_runs = [&] { return runs_of(chain(pod_.device.host_ifindex, to_hook()).front().program_id); };
  const auto arrives = [&] {
    theirs.send(ip("10.1.0.2"), 5000, "hello");
    return mine.receive(1000) == "hello";
  };
  const bool short_way = GetParam() == wire::DeviceMode::veth || features().peer_redirect;
  const auto before = to_pod_runs();
  EXPECT_TRUE(arrives());
  EXPECT_EQ(to_pod_runs(), before + (short_way ? 0U : 1U));

  Foreign other;
  other.attach(pod_.device.host_ifindex, to_hook(), true);
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod_.device)));
  const auto runs = other.runs();
  EXPECT_TRUE(arrives());
  EXPECT_EQ(other.runs(), runs + 1);
}

TEST_P(GuardTest, ForgetsWhatIsGone) {
  const auto own = pins("guard").size();
  EXPECT_EQ(entries_of(*datapath_, "nk_guard_v1"), own + 4);
  ASSERT_TRUE(ok(datapath_->detach_endpoint(pod_.device)));
  EXPECT_EQ(entries_of(*datapath_, "nk_guard_v1"), own + 2);
  reopen();
  ASSERT_TRUE(ok(datapath_->remove_stale({})));
  EXPECT_EQ(entries_of(*datapath_, "nk_guard_v1"), own);
}

}  // namespace
}  // namespace netkite::datapath::lab
