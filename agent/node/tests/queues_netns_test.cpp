// SPDX-License-Identifier: Apache-2.0
// What a kernel without fq can show of the rest is in tests/net/bandwidth.sh.
#include "agent/node/queues.hpp"

#include <gmock/gmock.h>

#include "agent/node/tests/lab.hpp"

namespace netkite::node {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class UplinkQueues : public Lab {
 protected:
  std::string root_of(std::uint32_t ifindex) {
    const auto root = netlink::get_root_qdisc(socket(), ifindex);
    return root ? root->kind : root.error().message;
  }
};

TEST_F(UplinkQueues, AreOursAndGoAgain) {
  const auto device = add_device("up0");
  const auto before = root_of(device);
  const auto problems = apply_queues({{.ifindex = device, .name = "up0"}});
  const auto probed = netlink::probe_fq(socket(), device);
  EXPECT_EQ(probed.has_value(), problems.empty()) << (probed ? "" : probed.error().message);
  if (!problems.empty()) {
    EXPECT_THAT(problems, ElementsAre(HasSubstr("not delayed on up0: queueing discipline fq on device " +
                                                std::to_string(device) + ": the kernel lacks it (CONFIG_NET_SCH_FQ)")));
    EXPECT_EQ(root_of(device), before);
    return;
  }
  EXPECT_EQ(root_of(device), "fq");
  EXPECT_THAT(apply_queues({{.ifindex = device, .name = "up0"}}), IsEmpty());
  EXPECT_THAT(apply_queues({}), IsEmpty()) << "no uplink any more";
  EXPECT_EQ(root_of(device), before);
  ASSERT_THAT(apply_queues({{.ifindex = device, .name = "up0"}}), IsEmpty());
  ASSERT_TRUE(remove_queues());
  EXPECT_EQ(root_of(device), before);
}

TEST_F(UplinkQueues, LeaveThoseOfOthers) {
  const auto device = add_device("up0");
  // A pod's, as far as its number goes: it is not for uplinks to clean up.
  ASSERT_TRUE(netlink::set_tbf(socket(), device, {.rate = 5000000000, .burst = 100000, .limit = 200000}));
  const auto tbf = netlink::get_root_qdisc(socket(), device);
  ASSERT_TRUE(tbf) << tbf.error().message;
  EXPECT_EQ(tbf->rate, 5000000000U);
  EXPECT_EQ(tbf->limit, 200000U);
  ASSERT_TRUE(remove_queues());
  EXPECT_EQ(root_of(device), "tbf");
  ASSERT_TRUE(netlink::delete_our_qdisc(socket(), device));
  EXPECT_NE(root_of(device), "tbf");
  ASSERT_TRUE(netlink::delete_our_qdisc(socket(), device)) << "gone already";
}

}  // namespace
}  // namespace netkite::node
