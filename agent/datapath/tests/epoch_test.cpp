// SPDX-License-Identifier: Apache-2.0
// Programs forget their decisions when what they decided from has changed.
#include "agent/datapath/tests/lab.hpp"

namespace netkite::datapath::lab {
namespace {

class EpochTest : public LabTest {
 protected:
  // A number that was never there before, since the last call.
  void expect_new(const std::string& change) {
    const auto now = epoch();
    EXPECT_GT(now, last_) << change;
    last_ = now;
  }

 private:
  std::uint64_t last_ = 0;
};

TEST_F(EpochTest, IsNewAfterEveryChange) {
  reopen();
  const auto uplink = make_uplink("up0");
  const auto pod = make_pod(wire::DeviceMode::veth, "p0", "10.1.0.2", "fd01::2");
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink.ifindex, uplink.name)));
  expect_new("an uplink");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  expect_new("an endpoint");
  ASSERT_TRUE(ok(datapath_->set_remotes(
      {{.prefix = cidr("10.2.0.0/16"), .ifindex = uplink.ifindex, .mtu = 1500, .nexthop = ip("192.0.2.2")}})));
  expect_new("remotes");
  ASSERT_TRUE(ok(datapath_->detach_endpoint(pod.device)));
  expect_new("no endpoint");
  ASSERT_TRUE(ok(datapath_->remove_stale({})));
  expect_new("stale entries");
  ASSERT_TRUE(ok(datapath_->detach_uplink(uplink.ifindex, uplink.name)));
  expect_new("no uplink");
}

TEST_F(EpochTest, IsNewAfterAChangeThatFailed) {
  options_.datapath.max_endpoints = 1;
  reopen();
  const auto first = make_pod(wire::DeviceMode::veth, "p0", "10.1.0.2");
  const auto second = make_pod(wire::DeviceMode::veth, "p1", "10.1.0.3");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(first.device)));
  expect_new("an endpoint");
  ASSERT_FALSE(datapath_->attach_endpoint(second.device));
  expect_new("no room for another");
}

TEST_F(EpochTest, IsNewWhenAnotherAgentTakesOver) {
  reopen();
  const auto pod = make_pod(wire::DeviceMode::veth, "p0", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  expect_new("the first agent");
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  expect_new("the second agent");
}

}  // namespace
}  // namespace netkite::datapath::lab
