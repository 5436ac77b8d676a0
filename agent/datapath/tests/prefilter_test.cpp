// SPDX-License-Identifier: Apache-2.0
// The deny-list: what it holds, what it costs, what it stops.
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <limits>

#include "agent/datapath/tests/lab.hpp"
#include "bpf/abi/netkite.h"
#include "common/netlink/link.hpp"

namespace netkite::datapath::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class PrefilterTest : public LabTest {
 protected:
  void SetUp() override {
    LabTest::SetUp();
    if (IsSkipped()) return;
    reopen();
    uplink_ = make_uplink("nkup0");
    ASSERT_TRUE(ok(datapath_->attach_uplink(uplink_.ifindex, uplink_.name)));
  }
  // The XDP program's mode on the uplink, "" when there is none.
  std::string mode() {
    const auto programs = datapath_->programs().value();
    for (const auto& each : programs) {
      if (each.hook == "xdp") return each.ours ? each.mode : "foreign";
    }
    return "";
  }
  bool arrives() const {
    const Udp here(-1, ip("192.0.2.1"), 5000);
    const Udp far(uplink_.netns.get(), ip("192.0.2.2"), 0);
    far.send(ip("192.0.2.1"), 5000, "far");
    return here.receive(200) == "far";
  }
  std::vector<std::string> prefixes() {
    std::vector<std::string> texts;
    const auto list = datapath_->denied().value();
    for (const auto& each : list) texts.push_back(each.prefix.to_string());
    return texts;
  }
  Uplink uplink_;
};

std::vector<Cidr> many(std::uint32_t count) {
  std::vector<Cidr> prefixes;
  for (std::uint32_t i = 0; i < count; ++i) prefixes.push_back(Cidr::host(Ip::v4(0x14000000U + i * 7)));
  return prefixes;
}

TEST_F(PrefilterTest, DropsAndCountsWhileThePrefixIsThere) {
  EXPECT_EQ(mode(), "") << "an empty list costs nothing";
  EXPECT_TRUE(arrives());
  ASSERT_TRUE(ok(
      datapath_->deny({cidr("192.0.2.2/32"), cidr("192.0.2.0/24"), cidr("2001:db8:bad::/48"), cidr("192.0.2.2/32")})));
  EXPECT_NE(mode(), "");
  EXPECT_THAT(prefixes(), ElementsAre("192.0.2.0/24", "192.0.2.2/32", "2001:db8:bad::/48"));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(arrives());
  EXPECT_EQ(datapath_->denied().value()[1].packets, 3U);
  EXPECT_EQ(datapath_->denied().value()[1].bytes, 3U * (14 + 20 + 8 + 3));
  EXPECT_EQ(datapath_->denied().value()[0].packets, 0U) << "the longest prefix counts";
  EXPECT_EQ(drops_of(*datapath_, "denied-prefix"), 3U);

  ASSERT_TRUE(ok(datapath_->deny({cidr("192.0.2.2/32")})));
  EXPECT_EQ(datapath_->denied().value()[1].packets, 3U) << "counters stay";
  const auto unknown = datapath_->undeny({cidr("192.0.2.2/32"), cidr("192.0.2.3/32")});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::not_found);
  EXPECT_THAT(unknown.error().message, HasSubstr("192.0.2.3/32"));
  EXPECT_EQ(prefixes().size(), 3U) << "nothing was removed";
  ASSERT_TRUE(ok(datapath_->undeny({cidr("192.0.2.0/24"), cidr("192.0.2.2/32")})));
  EXPECT_TRUE(arrives());
  ASSERT_TRUE(ok(datapath_->undeny({cidr("2001:db8:bad::/48")})));
  EXPECT_EQ(mode(), "");
}

TEST_F(PrefilterTest, StaysInPlaceAcrossRestarts) {
  ASSERT_TRUE(ok(datapath_->deny({cidr("192.0.2.2/32")})));
  EXPECT_FALSE(arrives());
  const auto program = query_xdp(uplink_.ifindex)->program_id;
  reopen();
  EXPECT_FALSE(arrives());
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink_.ifindex, uplink_.name)));
  EXPECT_NE(query_xdp(uplink_.ifindex)->program_id, program);
  EXPECT_FALSE(arrives());
  EXPECT_EQ(datapath_->denied().value()[0].packets, 3U);

  ASSERT_TRUE(ok(datapath_->remove_stale({uplink_.ifindex})));
  EXPECT_FALSE(arrives());
  ASSERT_TRUE(ok(datapath_->detach_uplink(uplink_.ifindex, uplink_.name)));
  EXPECT_TRUE(arrives());
  EXPECT_THAT(pins("links"), IsEmpty());
}

TEST_F(PrefilterTest, LostPinIsMadeAgain) {
  ASSERT_TRUE(ok(datapath_->deny({cidr("192.0.2.2/32")})));
  const UniqueFd held = [&] {
    const auto fd = bpf_obj_get((options_.bpffs + "/links/nkup0:xdp").c_str());
    return UniqueFd(fd);
  }();
  const auto id = link_info(held.get())->id;
  for (const char* pin : {"/links/nkup0:xdp", "/maps/nk_deny4_v1"})
    ASSERT_EQ(::unlink((options_.bpffs + pin).c_str()), 0);
  reopen();
  EXPECT_THAT(prefixes(), ElementsAre("192.0.2.2/32"));
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink_.ifindex, uplink_.name)));
  EXPECT_THAT(pins("links"), ElementsAre("nkup0:tcx-ingress", "nkup0:xdp"));
  const UniqueFd pinned(bpf_obj_get((options_.bpffs + "/links/nkup0:xdp").c_str()));
  EXPECT_EQ(link_info(pinned.get())->id, id);
  EXPECT_FALSE(arrives());
}

TEST_F(PrefilterTest, ModeIsThatOfTheConfiguration) {
  ASSERT_TRUE(ok(datapath_->deny({cidr("192.0.2.2/32")})));
  EXPECT_EQ(mode(), "native") << "veth has it";
  options_.prefilter.mode = config::XdpMode::generic;
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink_.ifindex, uplink_.name)));
  EXPECT_EQ(mode(), "generic");
  EXPECT_FALSE(arrives());
  options_.prefilter.mode = config::XdpMode::off;
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink_.ifindex, uplink_.name)));
  EXPECT_EQ(mode(), "");
  EXPECT_TRUE(arrives());
  const auto off = datapath_->deny({cidr("192.0.2.2/32")});
  ASSERT_FALSE(off);
  EXPECT_EQ(off.error().code, Code::unsupported);
}

TEST_F(PrefilterTest, ForeignProgramIsLeftAloneAndReported) {
  Foreign foreign;
  foreign.attach_xdp(uplink_.ifindex);
  ASSERT_TRUE(ok(datapath_->deny({cidr("192.0.2.2/32")})));
  EXPECT_EQ(mode(), "foreign");
  ASSERT_EQ(datapath_->problems().size(), 1U);
  EXPECT_THAT(datapath_->problems()[0], HasSubstr("not enforced on nkup0: another XDP program (foreign_xdp"));
  foreign = Foreign();
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink_.ifindex, uplink_.name)));
  EXPECT_THAT(datapath_->problems(), IsEmpty());
  EXPECT_FALSE(arrives());
}

class ServicesAtXdp : public PrefilterTest {
 protected:
  void SetUp() override {
    PrefilterTest::SetUp();
    if (IsSkipped()) return;
    options_.services.enabled = true;
    options_.services.xdp = config::ServicesXdp::automatic;
    again();
  }
  void again() {
    reopen();
    ASSERT_TRUE(ok(datapath_->attach_uplink(uplink_.ifindex, uplink_.name)));
  }
  std::string where() const { return datapath_->services_at(uplink_.ifindex); }
  // The MAC that programs go by; nothing: XDP does not serve.
  std::optional<Mac> known() const {
    const UniqueFd map(bpf_obj_get((options_.bpffs + "/maps/nk_uplink_v1").c_str()));
    nk_uplink uplink{};
    if (bpf_map_lookup_elem(map.get(), &uplink_.ifindex, &uplink) != 0) return std::nullopt;
    Mac mac;
    std::ranges::copy(uplink.mac, mac.bytes.begin());
    return mac;
  }
  std::optional<Mac> own() const {
    auto socket = netlink::Socket::open().value();
    return netlink::get_link(socket, uplink_.ifindex)->mac;
  }
};

TEST_F(ServicesAtXdp, HaveTheirProgramWithoutADenyList) {
  EXPECT_EQ(mode(), "native");
  EXPECT_EQ(where(), "xdp: what comes in; the driver takes nothing that is redirected to it") << "as veths do";
  EXPECT_EQ(known(), own());
  ASSERT_TRUE(ok(datapath_->deny({cidr("192.0.2.2/32")})));
  EXPECT_FALSE(arrives());
  ASSERT_TRUE(ok(datapath_->undeny({cidr("192.0.2.2/32")})));
  EXPECT_TRUE(arrives());
  EXPECT_EQ(mode(), "native");
  again();
  EXPECT_THAT(where(), StartsWith("xdp"));
}

TEST_F(ServicesAtXdp, FollowTheUplinksAddress) {
  auto socket = netlink::Socket::open().value();
  ASSERT_TRUE(ok(netlink::change_link(socket, uplink_.ifindex, {.mac = Mac::derived("another")})));
  EXPECT_NE(known(), own());
  datapath_->refresh_uplinks();
  EXPECT_EQ(known(), own());
}

TEST_F(ServicesAtXdp, LeaveWithTheUplinkOrTheOption) {
  ASSERT_TRUE(ok(datapath_->detach_uplink(uplink_.ifindex, uplink_.name)));
  EXPECT_EQ(known(), std::nullopt);
  again();
  EXPECT_EQ(known(), own());
  options_.services.xdp = config::ServicesXdp::off;
  again();
  EXPECT_EQ(mode(), "");
  EXPECT_EQ(where(), "tcx");
  options_.services.enabled = false;
  again();
  EXPECT_EQ(where(), "off");
}

TEST_F(ServicesAtXdp, GiveWayToOthers) {
  ASSERT_TRUE(ok(datapath_->detach_uplink(uplink_.ifindex, uplink_.name)));
  Foreign foreign;
  foreign.attach_xdp(uplink_.ifindex);
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink_.ifindex, uplink_.name)));
  EXPECT_THAT(where(), HasSubstr("tcx: another XDP program (foreign_xdp"));
  EXPECT_EQ(known(), std::nullopt);
  EXPECT_THAT(datapath_->problems(), IsEmpty()) << "that is what tcx is there for";
  foreign = Foreign();
  datapath_->refresh_uplinks();
  EXPECT_THAT(where(), StartsWith("xdp"));
  options_.prefilter.mode = config::XdpMode::generic;
  again();
  EXPECT_EQ(where(), "tcx: prefilter.mode is \"generic\"");
  EXPECT_EQ(mode(), "");
}

TEST_F(PrefilterTest, FullListIsAllOrNothing) {
  options_.prefilter.max_prefixes = 4;
  reopen();
  ASSERT_TRUE(ok(datapath_->deny({cidr("10.0.0.0/8"), cidr("11.0.0.0/8"), cidr("fd00::/8")})));
  const auto full = datapath_->deny(
      {cidr("10.0.0.0/8"), cidr("12.0.0.0/8"), cidr("13.0.0.0/8"), cidr("14.0.0.0/8"), cidr("fd00::/16")});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::exhausted);
  EXPECT_THAT(full.error().message, HasSubstr("nk_deny4_v1 is full (4 entries): raise prefilter.max_prefixes"));
  EXPECT_THAT(prefixes(), ElementsAre("10.0.0.0/8", "11.0.0.0/8", "fd00::/8"));
  const auto full6 =
      datapath_->deny({cidr("12.0.0.0/8"), cidr("fd01::/16"), cidr("fd02::/16"), cidr("fd03::/16"), cidr("fd04::/16")});
  ASSERT_FALSE(full6);
  EXPECT_THAT(prefixes(), ElementsAre("10.0.0.0/8", "11.0.0.0/8", "fd00::/8"));
}

TEST_F(PrefilterTest, ConfiguredListIsThere) {
  options_.prefilter.deny = {cidr("192.0.2.2/32")};
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink_.ifindex, uplink_.name)));
  EXPECT_FALSE(arrives());
}

// What it takes is tests/net/prefilter.sh's, by the agent that ships; here nothing may grow faster than the list.
TEST_F(PrefilterTest, ManyCostNoMoreEach) {
  struct Cost {
    std::clock_t add = std::numeric_limits<std::clock_t>::max(), list = add, remove = add;
  };
  // The process's own time, kernel included, the best of three: other load on the machine says nothing about us.
  const auto cost_of = [this](std::uint32_t count) {
    const auto prefixes = many(count);
    Cost best;
    const auto timed = [](std::clock_t& least, const auto& work) {
      const auto start = std::clock();
      work();
      least = std::min(least, std::clock() - start);
    };
    for (int time = 0; time < 3; ++time) {
      timed(best.add, [&] { EXPECT_TRUE(ok(datapath_->deny(prefixes))); });
      timed(best.list, [&] { EXPECT_EQ(datapath_->denied().value().size(), count); });
      timed(best.remove, [&] { EXPECT_TRUE(ok(datapath_->undeny(prefixes))); });
      EXPECT_THAT(datapath_->denied().value(), IsEmpty());
    }
    return best;
  };
  // Ten times as many take ten times as long; a hundred times when each one looks at all the others.
  const auto few = cost_of(3000), all = cost_of(30000);
  EXPECT_LE(all.add, 30 * few.add);
  EXPECT_LE(all.list, 30 * few.list);
  EXPECT_LE(all.remove, 30 * few.remove);
}

}  // namespace
}  // namespace netkite::datapath::lab
