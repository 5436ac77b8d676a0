// SPDX-License-Identifier: Apache-2.0
// The doctor in a namespace with something to find.
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "cli/check/check.hpp"
#include "common/base/unique_fd.hpp"
#include "common/netlink/link_veth.hpp"

namespace netkite::cli {
namespace {

using testing::HasSubstr;

const Finding& item(const Findings& findings, const std::string& name) {
  const auto found = std::ranges::find(findings, name, &Finding::item);
  EXPECT_NE(found, findings.end()) << name;
  return *found;
}

class CheckNetns : public testing::Test {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "needs the right to make network namespaces";
    auto socket = netlink::Socket::open();
    ASSERT_TRUE(socket) << socket.error().message;
    ASSERT_TRUE(netlink::create_veth(*socket, {.host_name = "up0", .pod_name = "up1"}));
    up_ = netlink::get_link(*socket, "up0").value();
  }
  void TearDown() override {
    unlink((pins_ + "/link").c_str());
    rmdir(pins_.c_str());
  }
  static UniqueFd load(const char* name) {
    bpf_insn instructions[2]{};
    instructions[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
    instructions[1].code = BPF_JMP | BPF_EXIT;
    return UniqueFd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name, "GPL", instructions, 2, nullptr));
  }
  static void write(const std::string& path, const std::string& value) { std::ofstream(path) << value; }

  netlink::Link up_;
  std::string pins_ = "/sys/fs/bpf/netkite-check-" + std::to_string(getpid());
};

TEST_F(CheckNetns, ForeignProgramsAreThoseThatNobodyPinned) {
  const auto program = load("stranger");
  const UniqueFd link(bpf_link_create(program.get(), static_cast<int>(up_.index), BPF_TCX_EGRESS, nullptr));
  if (!link.valid()) GTEST_SKIP() << "no tcx: " << strerror(errno);

  const auto before = check_bpf(pins_, {up_});
  EXPECT_EQ(item(before, "foreign-programs").grade, Grade::warn);
  EXPECT_THAT(item(before, "foreign-programs").detail, HasSubstr("stranger"));
  EXPECT_THAT(item(before, "foreign-programs").detail, HasSubstr("tcx egress of up0"));
  EXPECT_EQ(item(before, "pins").grade, Grade::warn);

  if (mkdir(pins_.c_str(), 0700) != 0) GTEST_SKIP() << "no bpffs: " << strerror(errno);
  ASSERT_EQ(bpf_obj_pin(link.get(), (pins_ + "/link").c_str()), 0) << strerror(errno);
  const auto after = check_bpf(pins_, {up_});
  EXPECT_EQ(item(after, "foreign-programs").grade, Grade::ok) << item(after, "foreign-programs").detail;
  EXPECT_EQ(item(after, "pins").grade, Grade::ok);
  EXPECT_THAT(item(after, "pins").detail, HasSubstr("1 links"));
  EXPECT_EQ(item(after, "bpffs").grade, Grade::ok);
}

TEST_F(CheckNetns, TheBackstopIsNoForeignProgramUnlessSomebodyElseLinksIt) {
  const int device = static_cast<int>(up_.index);
  const auto program = load("nk_backstop");
  LIBBPF_OPTS(bpf_prog_attach_opts, options);
  if (bpf_prog_attach_opts(program.get(), device, BPF_TCX_INGRESS, &options) != 0) {
    GTEST_SKIP() << "no tcx: " << strerror(errno);
  }
  const auto before = check_bpf(pins_, {up_});
  EXPECT_EQ(item(before, "foreign-programs").grade, Grade::ok) << item(before, "foreign-programs").detail;

  const UniqueFd link(bpf_link_create(program.get(), device, BPF_TCX_EGRESS, nullptr));
  ASSERT_TRUE(link.valid()) << strerror(errno);
  EXPECT_THAT(item(check_bpf(pins_, {up_}), "foreign-programs").detail, HasSubstr("nk_backstop"));
}

TEST_F(CheckNetns, ABpffsThatIsNoneFails) {
  EXPECT_EQ(item(check_bpf("/tmp/netkite", {}), "bpffs").grade, Grade::fail);
}

TEST_F(CheckNetns, ForwardingAndRouterAdvertisements) {
  write("/proc/sys/net/ipv4/ip_forward", "0");
  EXPECT_EQ(item(check_network({"up0"}, false), "ipv4-forwarding").grade, Grade::warn);
  write("/proc/sys/net/ipv4/ip_forward", "1");
  write("/proc/sys/net/ipv6/conf/all/forwarding", "1");
  write("/proc/sys/net/ipv6/conf/up0/accept_ra", "1");
  const auto risky = check_network({"up0"}, false);
  EXPECT_EQ(item(risky, "ipv4-forwarding").grade, Grade::ok);
  EXPECT_EQ(item(risky, "ipv6-forwarding").grade, Grade::ok);
  EXPECT_EQ(item(risky, "accept-ra").grade, Grade::warn);
  EXPECT_THAT(item(risky, "accept-ra").fix, HasSubstr("net.ipv6.conf.up0.accept_ra=2"));
  EXPECT_EQ(item(check_network({"up0"}, true), "accept-ra").grade, Grade::ok);  // a static route does it
  write("/proc/sys/net/ipv6/conf/up0/accept_ra", "2");
  EXPECT_EQ(item(check_network({"up0"}, false), "accept-ra").grade, Grade::ok);
}

}  // namespace
}  // namespace netkite::cli
