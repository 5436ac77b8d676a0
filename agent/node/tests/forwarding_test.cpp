// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <fstream>

#include "agent/node/node.hpp"
#include "agent/node/tests/lab.hpp"

namespace netkite::node {
namespace {

using testing::HasSubstr;

constexpr const char* kForwarding4 = "/proc/sys/net/ipv4/ip_forward";
constexpr const char* kForwarding6 = "/proc/sys/net/ipv6/conf/all/forwarding";

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

void write(const std::string& path, const std::string& value) { std::ofstream(path) << value; }

class Forwarding : public Lab {
 protected:
  void SetUp() override {
    Lab::SetUp();
    if (IsSkipped()) return;
    write(kForwarding4, "0");
    write(kForwarding6, "0");
    if (read(kForwarding4) != "0" || read(kForwarding6) != "0") GTEST_SKIP() << "/proc/sys is read-only";
  }
  static config::Options options(const std::vector<std::string>& pools) {
    config::Options options;
    for (const auto& pool : pools) options.pools.push_back(cidr(pool));
    return options;
  }
};

TEST_F(Forwarding, IsTurnedOnForTheFamiliesInUse) {
  ASSERT_TRUE(apply_forwarding(options({"10.244.1.0/24"})));
  EXPECT_EQ(read(kForwarding4), "1");
  EXPECT_EQ(read(kForwarding6), "0");
  ASSERT_TRUE(apply_forwarding(options({"10.244.1.0/24", "fd00:1::/64"})));
  EXPECT_EQ(read(kForwarding6), "1");
}

TEST_F(Forwarding, IsLeftAloneWhereItIsNotOurs) {
  auto unmanaged = options({"10.244.1.0/24", "fd00:1::/64"});
  unmanaged.manage_forwarding = false;
  ASSERT_TRUE(apply_forwarding(unmanaged));
  EXPECT_EQ(read(kForwarding4), "0");
  EXPECT_EQ(read(kForwarding6), "0");
}

TEST_F(Forwarding, DoesNotCutANodeOffItsAdvertisedRouter) {
  const auto up = add_device("up0");
  add_route("::/0", up, "fe80::1", 9);  // RTPROT_RA
  write("/proc/sys/net/ipv6/conf/up0/accept_ra", "1");
  const auto both = options({"10.244.1.0/24", "fd00:1::/64"});
  const auto refused = apply_forwarding(both);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("net.ipv6.conf.up0.accept_ra"));
  EXPECT_EQ(read(kForwarding4), "1");
  EXPECT_EQ(read(kForwarding6), "0");

  write("/proc/sys/net/ipv6/conf/up0/accept_ra", "2");
  EXPECT_TRUE(apply_forwarding(both));
  EXPECT_EQ(read(kForwarding6), "1");
}

}  // namespace
}  // namespace netkite::node
