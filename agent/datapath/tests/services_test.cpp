// SPDX-License-Identifier: Apache-2.0
// Programs of sockets on a control group, and the maps of services.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>

#include "agent/datapath/map_names.hpp"
#include "agent/datapath/tests/services_fixture.hpp"
#include "bpf/abi/service.h"

namespace netkite::datapath::lab {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr std::array kTypes = {BPF_CGROUP_INET4_CONNECT,     BPF_CGROUP_INET6_CONNECT,    BPF_CGROUP_UDP4_SENDMSG,
                               BPF_CGROUP_UDP6_SENDMSG,      BPF_CGROUP_UDP4_RECVMSG,     BPF_CGROUP_UDP6_RECVMSG,
                               BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME};

class ServicesTest : public GroupTest {
 protected:
  // How many programs a group has of each type.
  static std::vector<std::uint32_t> programs_on(const std::string& group) {
    const UniqueFd fd(::open(group.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::vector<std::uint32_t> counts;
    for (const auto type : kTypes) {
      std::uint32_t flags = 0, count = 0;
      EXPECT_EQ(bpf_prog_query(fd.get(), type, 0, &flags, nullptr, &count), 0);
      counts.push_back(count);
    }
    return counts;
  }
  std::string socket_pin(const std::string& name) const { return options_.bpffs + "/sockets/" + name; }
  std::vector<std::uint32_t> link_ids() const {
    std::vector<std::uint32_t> ids;
    for (const auto& name : pins("sockets")) {
      const UniqueFd fd(bpf_obj_get(socket_pin(name).c_str()));
      const auto info = link_info(fd.get());
      EXPECT_TRUE(ok(info));
      ids.push_back(info ? info->id : 0);
    }
    return ids;
  }

  std::uint32_t size_of(std::string_view name) const {
    const auto maps = datapath_->maps();
    EXPECT_TRUE(ok(maps));
    const auto found = std::ranges::find(*maps, name, &MapReport::name);
    return found == maps->end() ? 0 : found->max_entries;
  }
};

TEST_F(ServicesTest, EachProgramOnceAndAdoptedByTheNextAgent) {
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_sockets()));
  EXPECT_THAT(programs_on(groups_.front()), Each(1));
  EXPECT_THAT(pins("sockets"), ElementsAre("connect4", "connect6", "peername4", "peername6", "recvmsg4", "recvmsg6",
                                           "sendmsg4", "sendmsg6"));
  const auto before = link_ids();
  reopen();
  EXPECT_THAT(programs_on(groups_.front()), Each(1));
  ASSERT_TRUE(ok(datapath_->attach_sockets()));
  ASSERT_TRUE(ok(datapath_->attach_sockets()));
  EXPECT_THAT(programs_on(groups_.front()), Each(1));
  EXPECT_EQ(link_ids(), before);
}

TEST_F(ServicesTest, ALostPinIsFoundAgain) {
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_sockets()));
  // Held by somebody else, or the pin's end would have been the link's.
  const UniqueFd held(bpf_obj_get(socket_pin("connect4").c_str()));
  const auto before = link_ids();
  ASSERT_EQ(::unlink(socket_pin("connect4").c_str()), 0);
  ASSERT_TRUE(ok(datapath_->attach_sockets()));
  EXPECT_THAT(programs_on(groups_.front()), Each(1));
  EXPECT_EQ(link_ids(), before);
}

TEST_F(ServicesTest, AnotherGroupTakesThemOver) {
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_sockets()));
  options_.services.cgroup = groups_.back();
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_sockets()));
  EXPECT_THAT(programs_on(groups_.front()), Each(0));
  EXPECT_THAT(programs_on(groups_.back()), Each(1));
}

TEST_F(ServicesTest, AFailureAtAnyProgramLeavesNothing) {
  reopen();
  for (const std::string name :
       {"recvmsg4", "recvmsg6", "peername4", "peername6", "connect4", "connect6", "sendmsg4", "sendmsg6"}) {
    const auto in_the_way = socket_pin(name);
    ASSERT_TRUE(std::filesystem::create_directory(in_the_way));
    const auto refused = datapath_->attach_sockets();
    ASSERT_FALSE(refused) << name;
    EXPECT_THAT(refused.error().message, HasSubstr(name));
    EXPECT_THAT(programs_on(groups_.front()), Each(0)) << name;
    EXPECT_THAT(pins("sockets"), ElementsAre(name));
    ASSERT_TRUE(std::filesystem::remove(in_the_way));
  }
  EXPECT_TRUE(ok(datapath_->attach_sockets()));
}

TEST_F(ServicesTest, WithoutAGroupItSaysWhatToDo) {
  options_.services.cgroup = folder("none");
  reopen();
  const auto refused = datapath_->attach_sockets();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("services.cgroup: " + folder("none")));
}

TEST_F(ServicesTest, SwitchedOffNothingIsLeft) {
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_sockets()));
  options_.services.enabled = false;
  reopen();
  EXPECT_THAT(programs_on(groups_.front()), Each(0));
  EXPECT_THAT(pins("sockets"), IsEmpty());
  EXPECT_THAT(pins("maps"), Each(testing::Not(testing::AnyOfArray(kServiceMaps))));
  EXPECT_EQ(datapath_->attach_sockets().error().code, Code::not_found);
}

TEST_F(ServicesTest, AnswersOfTheNodeAreSeenAtUplinksOnceSomebodyAnswersAndAsLongAsThereAreServices) {
  reopen();
  const auto uplink = make_uplink("nkup0"), later = make_uplink("nkup1");
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink.ifindex, uplink.name)));
  EXPECT_THAT(names(uplink.ifindex, Hook::tcx_egress), IsEmpty());
  ASSERT_TRUE(ok(datapath_->change_services({})));
  EXPECT_THAT(names(uplink.ifindex, Hook::tcx_egress), IsEmpty());
  service::Changes entered;
  entered.enters_node = true;
  ASSERT_TRUE(ok(datapath_->change_services(entered)));
  ASSERT_TRUE(ok(datapath_->change_services(entered)));
  ASSERT_TRUE(ok(datapath_->attach_uplink(later.ifindex, later.name)));
  EXPECT_THAT(names(later.ifindex, Hook::tcx_egress), ElementsAre("nk_to_netdev"));
  ASSERT_TRUE(ok(datapath_->detach_uplink(later.ifindex, later.name)));
  const auto before = chain(uplink.ifindex, Hook::tcx_egress);
  EXPECT_THAT(names(uplink.ifindex, Hook::tcx_egress), ElementsAre("nk_to_netdev"));
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink.ifindex, uplink.name)));
  ASSERT_EQ(chain(uplink.ifindex, Hook::tcx_egress).size(), 1U);
  EXPECT_EQ(chain(uplink.ifindex, Hook::tcx_egress).front().link_id, before.at(0).link_id);
  options_.services.enabled = false;
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink.ifindex, uplink.name)));
  EXPECT_THAT(names(uplink.ifindex, Hook::tcx_egress), IsEmpty());
  options_.services.enabled = true;
  reopen();
  ASSERT_TRUE(ok(datapath_->change_services(entered)));
  ASSERT_TRUE(ok(datapath_->attach_uplink(uplink.ifindex, uplink.name)));
  ASSERT_TRUE(ok(datapath_->detach_uplink(uplink.ifindex, uplink.name)));
  EXPECT_THAT(pins("links"), IsEmpty());
}

TEST_F(ServicesTest, WithoutServicesTheirMapsAreNeverMade) {
  options_.services.enabled = false;
  reopen();
  EXPECT_THAT(pins("maps"), Each(testing::Not(testing::AnyOfArray(kServiceMaps))));
  options_.services.enabled = true;
  options_.services.max_connections = 4;
  reopen();
  EXPECT_THAT(pins("maps"), testing::IsSupersetOf(kServiceMaps));
  EXPECT_EQ(size_of(kConnections), 8U);
}

TEST_F(ServicesTest, AnotherAgentKnowsWhichNumbersWereGiven) {
  reopen();
  EXPECT_EQ(datapath_->services()->highest, 0U);
  service::Changes changes;
  changes.backends = {{7, {.set = 9, .address = ip("10.77.0.1"), .port = 8080}}};
  ASSERT_TRUE(ok(datapath_->change_services(changes)));
  EXPECT_EQ(datapath_->services()->highest, 9U);
  service::Changes gone;
  gone.gone_backends = {7};
  ASSERT_TRUE(ok(datapath_->change_services(gone)));
  reopen();
  const auto highest = datapath_->services()->highest;
  EXPECT_GE(highest, 9U);
  changes.backends.front().first = highest + 1;
  ASSERT_TRUE(ok(datapath_->change_services(changes)));
  reopen();
  EXPECT_GT(datapath_->services()->highest, highest);
}

TEST_F(ServicesTest, ANoteOfNumbersThatMakesNoSenseIsWrittenAnew) {
  reopen();
  for (const std::string text : {"", "nonsense\n", "12abc\n", "12", "4294967290\n", "0123456789abcdef0123\n"}) {
    std::ofstream(folder("run") + "/service_numbers") << text;
    reopen();
    EXPECT_EQ(datapath_->services()->highest, 0U) << text;
  }
  service::Changes changes;
  changes.backends = {{7, {.set = 9, .address = ip("10.77.0.1"), .port = 8080}}};
  ASSERT_TRUE(ok(datapath_->change_services(changes)));
  reopen();
  EXPECT_GE(datapath_->services()->highest, 9U);
}

TEST_F(ServicesTest, NumbersThatCannotBeNotedHoldUpNobody) {
  reopen();
  std::filesystem::create_directory(folder("run") + "/service_numbers");
  service::Changes changes;
  changes.backends = {{7, {.set = 9, .address = ip("10.77.0.1"), .port = 8080}}};
  ASSERT_TRUE(ok(datapath_->change_services(changes)));
  EXPECT_THAT(datapath_->problems(), testing::Contains(testing::HasSubstr("service_numbers")));
  std::filesystem::remove(folder("run") + "/service_numbers");
  ASSERT_TRUE(ok(datapath_->change_services(changes)));
  EXPECT_THAT(datapath_->problems(), testing::Not(testing::Contains(testing::HasSubstr("service_numbers"))));
}

TEST_F(ServicesTest, TheMapsHoldWhatWasWrittenAndAFullOneNamesTheOption) {
  options_.services.max_backends = 2;
  reopen();
  const service::Frontend v4{.address = ip("10.96.0.1"), .port = 80, .protocol = kube::Protocol::tcp};
  const service::Frontend v6{.address = ip("fd96::1"), .port = 53, .protocol = kube::Protocol::udp};
  service::Changes changes;
  changes.backends = {{7, {.set = 3, .address = ip("10.77.0.1"), .port = 8080}},
                      {8, {.set = 4, .address = ip("fd77::1"), .port = 53}}};
  changes.slots = {{{.set = 3, .index = 0}, 7}, {{.set = 4, .index = 0}, 8}};
  changes.frontends = {{v4, {.set = 3, .count = 1, .affinity_s = 10}}, {v6, {.set = 4, .count = 1, .affinity_s = 0}}};
  ASSERT_TRUE(ok(datapath_->change_services(changes)));
  reopen();
  const auto table = datapath_->services();
  ASSERT_TRUE(ok(table));
  EXPECT_THAT(table->frontends, UnorderedElementsAre(changes.frontends.front(), changes.frontends.back()));
  EXPECT_THAT(table->slots, UnorderedElementsAre(changes.slots.front(), changes.slots.back()));
  EXPECT_THAT(table->backends, UnorderedElementsAre(changes.backends.front(), changes.backends.back()));

  service::Changes more;
  more.backends = {{9, {.set = 3, .address = ip("10.77.0.2"), .port = 8080}}};
  const auto refused = datapath_->change_services(more);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("services.max_backends"));

  service::Changes less;
  less.gone_frontends = {v4};
  less.gone_slots = {{.set = 3, .index = 0}};
  less.gone_backends = {7};
  ASSERT_TRUE(ok(datapath_->change_services(less)));
  EXPECT_THAT(datapath_->services()->frontends, ElementsAre(changes.frontends.back()));
  EXPECT_THAT(datapath_->services()->backends, ElementsAre(changes.backends.back()));
}

TEST_F(ServicesTest, WhatIsForTheOutsideIsReadAsItWasWritten) {
  options_.services.maglev = true;
  reopen();
  const service::Frontend v4{.address = ip("203.0.113.1"), .port = 80, .protocol = kube::Protocol::tcp};
  const service::Frontend v6{.address = ip("2001:db8::1"), .port = 53, .protocol = kube::Protocol::udp};
  auto led = v4;
  led.led = true;
  const auto range = [](std::uint32_t set, const char* text) {
    return service::Range{.set = set, .clients = Cidr::parse(text).value()};
  };
  service::Changes changes;
  changes.entrances = {
      {v4, {.set = 3, .count = 1, .affinity_s = 10, .keep_source = true, .ranges = true, .table = 0, .direct = true}},
      {led, {.set = 5, .count = 1, .affinity_s = 0, .keep_source = true}},
      {v6, {.set = 4, .count = 2, .affinity_s = 0, .keep_source = false, .ranges = false, .table = 251}}};
  changes.ranges = {
      range(3, "0.0.0.0/0"), range(3, "198.51.100.0/24"),  range(3, "198.51.100.7/32"), range(4, "2001:db8::/32"),
      range(4, "::/0"),      range(258, "198.51.100.0/24")};
  for (std::uint32_t piece = 0; piece < 4; ++piece) {
    changes.maglev.push_back({{.set = 4, .piece = piece}, {}});
    for (std::uint32_t i = 0; i < service::kMaglevPiece; ++i)
      changes.maglev.back().second.push_back(100 * piece + i + 1);
  }
  ASSERT_TRUE(ok(datapath_->change_services(changes)));
  reopen();
  auto table = datapath_->services();
  ASSERT_TRUE(ok(table));
  EXPECT_THAT(table->entrances, testing::UnorderedElementsAreArray(changes.entrances));
  EXPECT_THAT(table->ranges, testing::UnorderedElementsAreArray(changes.ranges));
  EXPECT_THAT(table->maglev, testing::UnorderedElementsAreArray(changes.maglev));

  service::Changes less;
  less.gone_entrances = {v4, led};
  less.gone_ranges = {changes.ranges[0], changes.ranges[2], changes.ranges[4]};
  less.gone_maglev = {{.set = 4, .piece = 1}};
  ASSERT_TRUE(ok(datapath_->change_services(less)));
  table = datapath_->services();
  EXPECT_THAT(table->entrances, ElementsAre(changes.entrances.back()));
  EXPECT_THAT(table->ranges, UnorderedElementsAre(changes.ranges[1], changes.ranges[3], changes.ranges[5]));
  EXPECT_EQ(table->maglev.size(), 3U);
}

// A range of one set is none of another, whatever their prefixes have in common.
TEST_F(ServicesTest, ProgramsFindRangesBySetAndClient) {
  reopen();
  service::Changes changes;
  changes.ranges = {{.set = 1, .clients = Cidr::parse("198.51.100.0/24").value()},
                    {.set = 256, .clients = Cidr::parse("2001:db8::/32").value()}};
  ASSERT_TRUE(ok(datapath_->change_services(changes)));
  const UniqueFd map(bpf_obj_get((options_.bpffs + "/maps/nk_range_v1").c_str()));
  ASSERT_TRUE(map.valid());
  const auto is_in = [&map](std::uint32_t set, const char* client) {
    const auto address = ip(client);
    nk_range key{.length = 32 + 128, .set = htonl(set), .address = {0, 0, htonl(0xffff), 0}};
    auto* bytes = reinterpret_cast<std::byte*>(key.address) + (address.is_v4() ? 12 : 0);
    std::memcpy(bytes, address.bytes().data(), address.bytes().size());
    std::uint32_t value = 0;
    return bpf_map_lookup_elem(map.get(), &key, &value) == 0;
  };
  EXPECT_TRUE(is_in(1, "198.51.100.200"));
  EXPECT_FALSE(is_in(1, "198.51.101.1"));
  EXPECT_FALSE(is_in(256, "198.51.100.200"));
  EXPECT_TRUE(is_in(256, "2001:db8::7"));
  EXPECT_FALSE(is_in(1, "2001:db8::7"));
}

TEST_F(ServicesTest, WithoutMaglevItsTablesStayUntilTheyAreTakenAway) {
  options_.services.maglev = true;
  reopen();
  EXPECT_GT(size_of(kMaglev), 1U);
  service::Changes changes;
  for (std::uint32_t piece = 0; piece < 4; ++piece) {
    changes.maglev.push_back({{.set = 4, .piece = piece}, std::vector<std::uint32_t>(service::kMaglevPiece, 1)});
  }
  ASSERT_TRUE(ok(datapath_->change_services(changes)));
  options_.services.maglev = false;
  reopen();
  ASSERT_NE(datapath_, nullptr);
  EXPECT_THAT(datapath_->services()->maglev, testing::SizeIs(4));
  service::Changes gone;
  for (const auto& [piece, backends] : changes.maglev) gone.gone_maglev.push_back(piece);
  ASSERT_TRUE(ok(datapath_->change_services(gone)));
  reopen();
  EXPECT_EQ(size_of(kMaglev), 1U);
}

}  // namespace
}  // namespace netkite::datapath::lab
