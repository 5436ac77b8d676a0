// SPDX-License-Identifier: Apache-2.0
// Limits of what pods send, as the map has them.
#include <bpf/bpf.h>
#include <gmock/gmock.h>

#include "agent/datapath/map_names.hpp"
#include "agent/datapath/pace_map.hpp"
#include "agent/datapath/tests/lab.hpp"

namespace netkite::datapath::lab {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

nk_pace pace_of_rate(std::uint64_t rate, std::uint64_t burst) {
  EndpointDevice device;
  device.bandwidth = {.egress_rate = rate, .egress_burst = burst};
  return pace_of(device);
}

TEST(PaceOf, RatesAndTimes) {
  const auto pace = pace_of_rate(80'000'000, 8'000'000);
  EXPECT_EQ(pace.bytes_per_s, 10'000'000U);
  EXPECT_EQ(pace.burst_ns, 100 * kMs);
  EXPECT_EQ(pace.horizon_ns, 52'428'800U) << "512 KiB";
  EXPECT_EQ(pace.next_ns, 0U);
  EXPECT_EQ(pace_of_rate(wire::kLeastRate, 1).horizon_ns, 2000 * kMs);
  EXPECT_EQ(pace_of_rate(wire::kMostRate, 1).horizon_ns, 50 * kMs);
  EXPECT_EQ(pace_of_rate(wire::kLeastRate, wire::kMostBurst).burst_ns, wire::kMostBurst / 8 * 8 * kMs);
}

class PaceTest : public LabTest {
 protected:
  PaceTest() { options_.bandwidth.enabled = true; }

  void SetUp() override {
    LabTest::SetUp();
    if (IsSkipped()) return;
    reopen();
    pod_ = make_pod(wire::DeviceMode::veth, "nkpace", "10.9.0.5");
    pod_.device.bandwidth = {
        .ingress_rate = 1'000'000, .ingress_burst = 1'000'000, .egress_rate = 1'000'000, .egress_burst = 1'000'000};
  }
  std::optional<nk_pace> pace() {
    nk_pace value{};
    const auto map = pinned_map(std::string(kPaces));
    if (bpf_map_lookup_elem(map.get(), &pod_.device.host_ifindex, &value) != 0) return std::nullopt;
    return value;
  }
  void set_next(std::uint64_t next) {
    auto value = pace().value();
    value.next_ns = next;
    const auto map = pinned_map(std::string(kPaces));
    ASSERT_EQ(bpf_map_update_elem(map.get(), &pod_.device.host_ifindex, &value, BPF_EXIST), 0);
  }

  Pod pod_;
};

TEST_F(PaceTest, GoesOnWhereItIsWhenTheAgentComesBack) {
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod_.device)));
  ASSERT_TRUE(pace());
  EXPECT_EQ(pace()->bytes_per_s, 125'000U);
  set_next(7);
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod_.device)));
  EXPECT_EQ(pace()->next_ns, 7U);
  EXPECT_TRUE(ok(datapath_->verify_endpoint(pod_.device)));

  auto other = pod_.device;
  other.bandwidth.egress_rate = 2'000'000;
  const auto differs = datapath_->verify_endpoint(other);
  ASSERT_FALSE(differs);
  EXPECT_THAT(differs.error().message, testing::HasSubstr("another limit for nkpace"));
  ASSERT_TRUE(ok(datapath_->attach_endpoint(other)));
  EXPECT_EQ(pace()->bytes_per_s, 250'000U);
  EXPECT_EQ(pace()->next_ns, 0U);
}

TEST_F(PaceTest, GoesWithThePodAndWithTheLimit) {
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod_.device)));
  ASSERT_TRUE(ok(datapath_->detach_endpoint(pod_.device)));
  EXPECT_FALSE(pace());
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod_.device)));
  auto unlimited = pod_.device;
  unlimited.bandwidth = {};
  ASSERT_TRUE(ok(datapath_->attach_endpoint(unlimited)));
  EXPECT_FALSE(pace());
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod_.device)));
  ASSERT_TRUE(ok(datapath_->remove_stale({})));
  EXPECT_FALSE(pace());
}

TEST_F(PaceTest, TheMapGoesWithTheOption) {
  EXPECT_THAT(pins("maps"), testing::Contains(kPaces));
  options_.bandwidth.enabled = false;
  reopen();
  EXPECT_THAT(pins("maps"), testing::Not(testing::Contains(kPaces)));
  EXPECT_TRUE(ok(datapath_->attach_endpoint(pod_.device)));
  EXPECT_TRUE(ok(datapath_->verify_endpoint(pod_.device)));
}

}  // namespace
}  // namespace netkite::datapath::lab
