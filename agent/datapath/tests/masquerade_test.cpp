// SPDX-License-Identifier: Apache-2.0
// What programs masquerade with, as the maps have it.
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <netinet/in.h>

#include <map>

#include "agent/datapath/abi.hpp"
#include "agent/datapath/map_names.hpp"
#include "agent/datapath/masquerade_map.hpp"
#include "agent/datapath/tests/lab.hpp"

namespace netkite::datapath::lab {
namespace {

using testing::Each;
using testing::Not;

class MasqueradeTest : public LabTest {
 protected:
  MasqueradeTest() { options_.masquerade.mode = config::MasqueradeMode::bpf; }

  static Masquerade usual() {
    return {.exits = {{.ifindex = 7, .addresses = {ip("192.0.2.1"), ip("2001:db8::1")}},
                      {.ifindex = 8, .addresses = {ip("198.51.100.1")}}},
            .direct = {cidr("10.244.0.0/16"), cidr("10.244.1.0/24"), cidr("fd00::/64"), cidr("10.244.0.0/16")},
            .own_ports = {.first = 61000, .last = 64401},
            .stack_ports = {.first = 64402, .last = 65535}};
  }
  std::optional<nk_exit> exit_of(std::uint32_t ifindex) {
    nk_exit value{};
    const auto map = pinned_map(std::string(kExits));
    if (bpf_map_lookup_elem(map.get(), &ifindex, &value) != 0) return std::nullopt;
    return value;
  }
  bool is_direct(const std::string& address) {
    nk_unmasked key{};
    key.length = 128;
    write_mapped(key.address, ip(address));
    std::uint32_t value = 0;
    return bpf_map_lookup_elem(pinned_map(std::string(kUnmasked)).get(), &key, &value) == 0;
  }
};

TEST_F(MasqueradeTest, ExitsAndExceptionsStandInTheMaps) {
  reopen();
  ASSERT_TRUE(ok(datapath_->set_masquerade(usual())));
  const auto exit = exit_of(7);
  ASSERT_TRUE(exit);
  EXPECT_EQ(read_mapped(exit->address4), ip("192.0.2.1"));
  EXPECT_EQ(read_mapped(exit->address6), ip("2001:db8::1"));
  EXPECT_EQ(exit->first_port, 61000);
  EXPECT_EQ(exit->last_port, 64401);
  EXPECT_EQ(exit->stack_first_port, 64402);
  EXPECT_EQ(exit->stack_last_port, 65535);
  EXPECT_THAT(exit_of(8)->address6, Each(0));
  EXPECT_FALSE(exit_of(9));
  EXPECT_TRUE(is_direct("10.244.1.1"));
  EXPECT_TRUE(is_direct("fd00::1"));
  EXPECT_FALSE(is_direct("10.245.0.1"));
  EXPECT_FALSE(is_direct("fd00:0:0:1::1"));
}

TEST_F(MasqueradeTest, WhatIsNotSaidAnyMoreGoes) {
  reopen();
  ASSERT_TRUE(ok(datapath_->set_masquerade(usual())));
  auto other = usual();
  other.exits.pop_back();
  other.exits.front().addresses = {ip("192.0.2.2")};
  other.direct = {cidr("10.244.1.0/24"), cidr("172.16.0.0/12")};
  ASSERT_TRUE(ok(datapath_->set_masquerade(other)));
  EXPECT_EQ(read_mapped(exit_of(7)->address4), ip("192.0.2.2"));
  EXPECT_FALSE(exit_of(8));
  EXPECT_FALSE(is_direct("10.244.2.1"));
  EXPECT_TRUE(is_direct("10.244.1.1"));
  EXPECT_TRUE(is_direct("172.16.5.5"));
  ASSERT_TRUE(ok(datapath_->set_masquerade({})));
  EXPECT_FALSE(exit_of(7));
  EXPECT_FALSE(is_direct("10.244.1.1"));
}

TEST_F(MasqueradeTest, TheTableOfConnectionsIsThereWithoutServicesAndGoesWithTheMode) {
  reopen();
  EXPECT_THAT(pins("maps"), testing::IsSupersetOf(kConnectionMaps));
  EXPECT_THAT(pins("maps"), testing::IsSupersetOf(kMasqueradeMaps));
  EXPECT_THAT(pins("maps"), Each(Not(testing::AnyOfArray(kServiceMaps))));
  EXPECT_TRUE(ok(datapath_->connection_counts()));
  options_.masquerade.mode = config::MasqueradeMode::nftables;
  reopen();
  EXPECT_THAT(pins("maps"), Each(Not(testing::AnyOfArray(kConnectionMaps))));
  EXPECT_THAT(pins("maps"), Each(Not(testing::AnyOfArray(kMasqueradeMaps))));
  EXPECT_EQ(datapath_->set_masquerade(usual()).error().code, Code::not_found);
}

TEST_F(MasqueradeTest, ConnectionsAreTakenOverOnce) {
  reopen();
  const MaskedConnection tcp{.from = {.source = ip("10.244.1.2"),
                                      .destination = ip("203.0.113.5"),
                                      .source_port = 40000,
                                      .destination_port = 443},
                             .seen_source = ip("192.0.2.1"),
                             .seen_port = 40001,
                             .protocol = IPPROTO_TCP,
                             .ifindex = 7};
  auto echo = tcp, other = tcp;
  echo.from.source_port = echo.from.destination_port = 9;
  echo.seen_port = 10;
  echo.protocol = IPPROTO_ICMP;
  other.from.source = ip("10.244.1.3");  // answers to it would look like those to the first one
  EXPECT_EQ(datapath_->take_over({tcp, echo, other}).value(), 2U);
  EXPECT_EQ(datapath_->take_over({tcp, echo}).value(), 0U);
  std::map<std::string, ConnectionEntry> found;
  ASSERT_TRUE(ok(datapath_->list_connections(0, [&](const ConnectionEntry& entry) {
    found.emplace(entry.protocol + (entry.reply ? " back" : " there"), entry);
  })));
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found["TCP there"].state, "established");
  EXPECT_EQ(found["TCP there"].use, "masquerade");
  EXPECT_EQ(found["TCP there"].to.source, ip("192.0.2.1"));
  EXPECT_EQ(found["TCP there"].to.source_port, 40001);
  EXPECT_EQ(found["TCP there"].to.destination_port, 443);
  EXPECT_EQ(found["TCP back"].from.destination_port, 40001);
  EXPECT_EQ(found["TCP back"].to.destination, ip("10.244.1.2"));
  EXPECT_EQ(found["TCP back"].to.destination_port, 40000);
  EXPECT_EQ(found["ICMP there"].to.destination_port, 10);
  EXPECT_EQ(found["ICMP back"].from.source_port, 10);
  EXPECT_EQ(found["ICMP back"].to.destination_port, 9);
}

TEST_F(MasqueradeTest, APodsConnectionsGoWithIt) {
  reopen();
  const auto pod = make_pod(wire::DeviceMode::veth, "nkgone", "10.244.1.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto of = [](const std::string& source, std::uint16_t port) {
    return MaskedConnection{
        .from = {.source = ip(source), .destination = ip("203.0.113.5"), .source_port = port, .destination_port = 443},
        .seen_source = ip("192.0.2.1"),
        .seen_port = port,
        .protocol = IPPROTO_TCP,
        .ifindex = 7};
  };
  const auto sources = [this] {
    std::vector<Ip> found;
    EXPECT_TRUE(ok(datapath_->list_connections(0, [&](const ConnectionEntry& entry) {
      if (!entry.reply) found.push_back(entry.from.source);
    })));
    return found;
  };
  // With the sweep, or at once for the next pod that gets the address.
  for (const bool at_once : {false, true}) {
    ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
    ASSERT_TRUE(ok(datapath_->take_over({of("10.244.1.2", 40000), of("10.244.1.3", 40001)})));
    EXPECT_THAT(sources(), testing::UnorderedElementsAre(ip("10.244.1.2"), ip("10.244.1.3")));
    ASSERT_TRUE(ok(datapath_->detach_endpoint(pod.device)));
    if (at_once) {
      ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
    } else {
      ASSERT_TRUE(ok(datapath_->sweep_connections()));
    }
    EXPECT_THAT(sources(), testing::ElementsAre(ip("10.244.1.3"))) << at_once;
  }
}

}  // namespace
}  // namespace netkite::datapath::lab
