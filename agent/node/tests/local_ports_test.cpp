// SPDX-License-Identifier: Apache-2.0
#include "agent/node/local_ports.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace netkite::node {
namespace {

using ::testing::HasSubstr;

class LocalPortsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sysctl_dir_ = ::testing::TempDir() + "netkite-ports-" + std::to_string(::getpid());
    std::filesystem::create_directories(sysctl_dir_ + "/net/ipv4");
  }
  void TearDown() override { std::filesystem::remove_all(sysctl_dir_); }

  void write(const std::string& key, const std::string& text) const {
    std::ofstream(sysctl_dir_ + "/net/ipv4/" + key) << text << '\n';
  }
  std::string conflict(const std::string& range, const std::string& reserved = "") const {
    write("ip_local_port_range", range);
    write("ip_local_reserved_ports", reserved);
    return port_conflict(sysctl_dir_, services_);
  }

  std::string sysctl_dir_;
  config::Services services_;
};

TEST_F(LocalPortsTest, TheKernelsUsualRangeAndOurUsualOneAgree) {
  EXPECT_EQ(conflict("32768\t60999"), "");
  EXPECT_EQ(conflict("32768\t61000"),
            "services.first_port: the kernel hands out ports 61000-61000 by itself: change services.first_port and "
            "last_port, or add them to net.ipv4.ip_local_reserved_ports");
  EXPECT_THAT(conflict("1024\t65535"), HasSubstr("61000-65535"));
}

TEST_F(LocalPortsTest, ReservedOnesAreNotHandedOut) {
  EXPECT_EQ(conflict("1024\t65535", "61000-65535"), "");
  EXPECT_EQ(conflict("1024\t65535", "80,8080-8081,60000-65535"), "");
  EXPECT_EQ(conflict("1024\t61000", "61000,65000"), "");
  EXPECT_THAT(conflict("1024\t65535", "61001-65535"), HasSubstr("61000-65535"));
  EXPECT_THAT(conflict("1024\t65535", "61000-65534,70"), HasSubstr("61000-65535"));
}

TEST_F(LocalPortsTest, AKernelThatDoesNotSayIsNotBlamed) { EXPECT_EQ(port_conflict(sysctl_dir_, services_), ""); }

}  // namespace
}  // namespace netkite::node
