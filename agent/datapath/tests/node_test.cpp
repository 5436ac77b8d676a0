// SPDX-License-Identifier: Apache-2.0
// What concerns the node as a whole: features, grace periods, remotes, reports.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "agent/datapath/datapath.hpp"
#include "agent/datapath/tests/lab.hpp"
#include "bpf/abi/netkite.h"

namespace netkite::datapath::lab {
namespace {

using testing::HasSubstr;

class FeaturesTest : public LabTest {};

TEST_F(FeaturesTest, AreTriedAndNamedWhenMissing) {
  const auto& found = features();
  EXPECT_TRUE(found.tcx);
  EXPECT_TRUE(found.ringbuf);
  EXPECT_EQ(found.missing.size(), found.netkit ? (found.netkit_scrub ? 0U : 1U) : 1U);
  if (!found.netkit) {
    EXPECT_EQ(found.missing[0], "netkit: not in this kernel (CONFIG_NETKIT=y, Linux 6.7 or later); pods use veth");
  }
  auto socket = netlink::Socket::open().value();
  EXPECT_EQ(netlink::list_links(socket)->size(), 1U) << "nothing is left in our namespace";
}

constexpr const char* kSwitch = "/sys/kernel/rcu_expedited";

class ExpediteTest : public LabTest {
 protected:
  static int value() {
    int number = -1;
    std::ifstream(kSwitch) >> number;
    return number;
  }
  static void set(int number) { std::ofstream(kSwitch) << number; }
  bool noted() const { return std::filesystem::file_size(folder("run/rcu_expedited")) > 0; }
  // A file of our own in the place of the kernel's switch: others on this machine may be using that one.
  void SetUp() override {
    LabTest::SetUp();
    if (IsSkipped()) return;
    write_file(folder("switch"), "0\n");
    ASSERT_EQ(::mount(folder("switch").c_str(), kSwitch, nullptr, MS_BIND, nullptr), 0);
  }
  void TearDown() override {
    ::umount2(kSwitch, MNT_DETACH);
    LabTest::TearDown();
  }
};

TEST_F(ExpediteTest, HoldsWhileOneLives) {
  EXPECT_EQ(ExpediteRcu::state(), "idle");
  {
    const ExpediteRcu first;
    EXPECT_EQ(ExpediteRcu::state(), "on");
    EXPECT_EQ(value(), 1);
    EXPECT_TRUE(noted());
    ExpediteRcu second;
    const ExpediteRcu moved = std::move(second);
    EXPECT_EQ(value(), 1) << "counted in the process";
  }
  EXPECT_EQ(value(), 0);
  EXPECT_FALSE(noted());
  EXPECT_EQ(ExpediteRcu::state(), "idle");
}

TEST_F(ExpediteTest, LeavesOthersAlone) {
  set(1);  // an administrator, or another agent on this kernel
  {
    const ExpediteRcu held;
    EXPECT_GT(value(), 0);
  }
  EXPECT_EQ(value(), 1);
}

TEST_F(ExpediteTest, RestoresAfterACrash) {
  write_file(folder("run/rcu_expedited"), "1");
  set(3);  // two are others'
  ExpediteRcu::configure(true, folder("run"));
  EXPECT_EQ(value(), 2);
  EXPECT_FALSE(noted());
}

TEST_F(ExpediteTest, TheLastOfSeveralAgentsLowersIt) {
  UniqueFd other(::open(folder("run/rcu_expedited").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  {
    const ExpediteRcu held;
    ASSERT_EQ(::flock(other.get(), LOCK_SH), 0);
  }
  EXPECT_EQ(value(), 1);
  ExpediteRcu::configure(true, folder("run"));
  EXPECT_EQ(value(), 1) << "not a crash's: its owner lives";
  other.reset();
  {
    const ExpediteRcu held;
    EXPECT_EQ(value(), 1) << "raised once, by whom does not matter";
  }
  EXPECT_EQ(value(), 0);
}

TEST_F(ExpediteTest, OffTouchesNothing) {
  ExpediteRcu::configure(false, folder("run"));
  const ExpediteRcu held;
  EXPECT_EQ(ExpediteRcu::state(), "off");
  EXPECT_EQ(value(), 0);
}

TEST_F(ExpediteTest, WithoutARecordItIsNotRaised) {
  ExpediteRcu::configure(true, folder("none/none"));
  const ExpediteRcu held;
  EXPECT_EQ(value(), 0) << "a crash would leave it up for good";
}

class RemotesTest : public LabTest {
 protected:
  template <typename Value = nk_remote>
  Value lookup4(const std::string& address, const std::string& name = "nk_remote4_v1") const {
    const UniqueFd map = pinned_map(name);
    nk_prefix4 key{.length = 32, .address = 0};
    const auto bytes = ip(address);
    std::copy_n(bytes.bytes().data(), 4, reinterpret_cast<std::uint8_t*>(&key.address));
    Value value{};
    bpf_map_lookup_elem(map.get(), &key, &value);
    return value;
  }
  static Remote remote(const std::string& prefix, const std::string& nexthop, std::uint32_t ifindex = 7) {
    return {.prefix = cidr(prefix), .ifindex = ifindex, .mtu = 1500, .nexthop = ip(nexthop)};
  }
};

TEST_F(RemotesTest, HoldExactlyTheWholeSet) {
  reopen();
  ASSERT_TRUE(ok(datapath_->set_remotes(
      {remote("10.2.0.0/16", "192.0.2.2"), remote("10.2.3.0/24", "192.0.2.3"), remote("fd02::/64", "2001:db8::2")})));
  EXPECT_EQ(entries_of(*datapath_, "nk_remote4_v1"), 2U);
  EXPECT_EQ(entries_of(*datapath_, "nk_remote6_v1"), 1U);
  EXPECT_EQ(lookup4("10.2.3.4").nexthop.bytes[3], 3);
  EXPECT_EQ(lookup4("10.2.4.4").nexthop.bytes[3], 2);
  EXPECT_EQ(lookup4("10.2.4.4").nexthop_family, static_cast<std::uint32_t>(AF_INET));
  EXPECT_EQ(lookup4("10.2.4.4").mtu, 1500U);
  ASSERT_TRUE(ok(datapath_->set_remotes({remote("10.2.0.0/16", "2001:db8::2", 9)})));
  EXPECT_EQ(entries_of(*datapath_, "nk_remote4_v1"), 1U);
  EXPECT_EQ(entries_of(*datapath_, "nk_remote6_v1"), 0U);
  EXPECT_EQ(lookup4("10.2.3.4").ifindex, 9U);
  EXPECT_EQ(lookup4("10.2.3.4").nexthop_family, static_cast<std::uint32_t>(AF_INET6));
}

TEST_F(RemotesTest, TunnelsHaveMapsOfTheirOwn) {
  reopen();
  auto tunnel = remote("10.2.0.0/16", "192.0.2.2"), tunnel6 = remote("fd02::/64", "192.0.2.2");
  tunnel.tunnel = tunnel6.tunnel = Remote::Tunnel{.device = 8, .node = ip("192.0.2.2"), .local = ip("192.0.2.1")};
  ASSERT_TRUE(ok(datapath_->set_remotes({tunnel, tunnel6, remote("10.3.0.0/16", "192.0.2.3")})));
  EXPECT_EQ(entries_of(*datapath_, "nk_remote4_v1"), 1U);
  EXPECT_EQ(entries_of(*datapath_, "nk_tunnel4_v2"), 1U);
  EXPECT_EQ(entries_of(*datapath_, "nk_tunnel6_v2"), 1U);
  const auto found = lookup4<nk_tunnel>("10.2.3.4", "nk_tunnel4_v2");
  EXPECT_EQ(found.way.ifindex, 7U);
  EXPECT_EQ(found.way.nexthop.bytes[3], 2);
  EXPECT_EQ(found.device, 8U);
  EXPECT_EQ(found.family, static_cast<std::uint32_t>(AF_INET));
  EXPECT_EQ(found.node.bytes[3], 2);
  EXPECT_EQ(found.local.bytes[3], 1);
  EXPECT_EQ(found.flags, 0U);
  tunnel.own = true;
  ASSERT_TRUE(ok(datapath_->set_remotes({tunnel})));
  EXPECT_EQ((lookup4<nk_tunnel>("10.2.3.4", "nk_tunnel4_v2").flags), std::uint32_t{NK_TUNNEL_NODE});
  ASSERT_TRUE(ok(datapath_->set_remotes({tunnel, tunnel6, remote("10.3.0.0/16", "192.0.2.3")})));
  EXPECT_EQ(lookup4("10.3.3.4").nexthop.bytes[3], 3);
  ASSERT_TRUE(ok(datapath_->set_remotes({remote("10.2.0.0/16", "192.0.2.2")})));
  EXPECT_EQ(entries_of(*datapath_, "nk_tunnel4_v2"), 0U);
  EXPECT_EQ(entries_of(*datapath_, "nk_tunnel6_v2"), 0U);
  EXPECT_EQ(lookup4("10.2.3.4").nexthop.bytes[3], 2);
}

TEST_F(RemotesTest, WhatAFormerReleaseHasPinnedGoes) {
  reopen();
  const auto former = options_.bpffs + "/maps/nk_tunnel4_v1";
  const UniqueFd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "nk_tunnel4_v1", 4, 4, 1, nullptr));
  ASSERT_EQ(bpf_obj_pin(map.get(), former.c_str()), 0);
  reopen();
  EXPECT_FALSE(std::filesystem::exists(former));
}

TEST_F(RemotesTest, ReplaceAFullSetButNotMore) {
  options_.datapath.max_remotes = 2;
  reopen();
  ASSERT_TRUE(ok(datapath_->set_remotes({remote("10.2.0.0/16", "192.0.2.2"), remote("10.3.0.0/16", "192.0.2.3")})));
  ASSERT_TRUE(ok(datapath_->set_remotes({remote("10.4.0.0/16", "192.0.2.2"), remote("10.5.0.0/16", "192.0.2.3")})));
  EXPECT_EQ(lookup4("10.5.0.1").ifindex, 7U);
  const auto full = datapath_->set_remotes(
      {remote("10.4.0.0/16", "192.0.2.2"), remote("10.5.0.0/16", "192.0.2.3"), remote("10.6.0.0/16", "192.0.2.4")});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::exhausted);
  EXPECT_THAT(full.error().message, HasSubstr("raise datapath.max_remotes"));
}

class ReportsTest : public LabTest {};

TEST_F(ReportsTest, NameEveryMapWithItsBytesAndEveryReason) {
  reopen();
  const auto maps = datapath_->maps().value();
  EXPECT_EQ(maps.size(), pins("maps").size());
  for (const auto& map : maps) {
    EXPECT_EQ(map.bytes > 0, map.type != "lpm_trie") << map.name << ": a trie takes memory with its entries";
    EXPECT_EQ(map.entries.has_value(), map.type == "hash" || map.type == "lpm_trie") << map.name << " " << map.type;
  }
  const auto drops = datapath_->drops().value();
  EXPECT_EQ(drops.size(), static_cast<std::size_t>(NK_DROP_REASON_COUNT));
  std::set<std::string_view> reasons;
  for (std::uint32_t reason = 0; reason < NK_DROP_REASON_COUNT; ++reason) {
    EXPECT_FALSE(drop_reason_name(reason).empty()) << reason;
    reasons.insert(drop_reason_name(reason));
  }
  EXPECT_EQ(reasons.size(), static_cast<std::size_t>(NK_DROP_REASON_COUNT));
  EXPECT_EQ(drop_reason_name(4711), "unknown");
  EXPECT_GE(datapath_->event_fd(), 0);
}

}  // namespace
}  // namespace netkite::datapath::lab
