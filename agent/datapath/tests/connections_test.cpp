// SPDX-License-Identifier: Apache-2.0
// The table of connections: lists and flushes in steps, what the node is to others, and what outlives the agent.
#include "agent/datapath/tests/connections_fixture.hpp"

namespace netkite::datapath::lab {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

TEST_F(ConnectionsTest, TheListSaysWhatBecomesOfAPacket) {
  put({.number = 4000, .silent_s = 20, .v6 = true});
  auto all = list();
  ASSERT_THAT(all, SizeIs(2));
  const auto& there = all.front().reply ? all.back() : all.front();
  const auto& back = all.front().reply ? all.front() : all.back();
  EXPECT_EQ(there.from.source, ip("2001:db8:f::9"));
  EXPECT_EQ(there.from.source_port, 4000);
  EXPECT_EQ(there.from.destination, ip("2001:db8::100"));
  EXPECT_EQ(there.from.destination_port, 30080);
  EXPECT_EQ(there.to.source, ip("2001:db8::100"));
  EXPECT_EQ(there.to.destination, ip("fd77::2"));
  EXPECT_EQ(there.to.destination_port, 8080);
  EXPECT_EQ(there.protocol, "TCP");
  EXPECT_EQ(there.use, "service");
  EXPECT_EQ(there.state, "established");
  EXPECT_EQ(there.silent_s, 20U);
  EXPECT_EQ(there.expires_s, 7980U);
  EXPECT_EQ(back.from.source, ip("fd77::2"));
  EXPECT_EQ(back.to.destination, ip("2001:db8:f::9"));
  // A place beyond the table, as somebody may ask for.
  EXPECT_EQ(map_.list(~0U, kNow, [](const ConnectionEntry&) { FAIL(); }).value(), std::nullopt);
}

TEST_F(ConnectionsTest, AFlushTakesThoseThatMatchAndNoOthers) {
  const Sample tcp{.number = 1}, udp{.number = 2, .protocol = IPPROTO_UDP}, v6{.number = 3, .v6 = true};
  const auto fill = [&] {
    for (const auto& each : {tcp, udp, v6}) put(each);
  };
  const auto left = [&] { return std::vector{directions(tcp), directions(udp), directions(v6)}; };
  const auto filter = [](const char* address, std::optional<std::uint16_t> port, std::optional<std::uint8_t> protocol) {
    return ConnectionFilter{
        .address = address == nullptr ? std::nullopt : std::optional(ip(address)), .port = port, .protocol = protocol};
  };
  fill();
  EXPECT_EQ(flush(filter("198.51.100.1", {}, {})), 0U);
  EXPECT_EQ(flush(filter("10.77.1.2", 9999, {})), 0U);
  EXPECT_EQ(flush(filter(nullptr, 2, IPPROTO_TCP)), 0U);
  EXPECT_THAT(left(), ElementsAre(2, 2, 2));
  EXPECT_EQ(flush(filter("10.77.1.2", 8080, IPPROTO_TCP)), 1U);
  EXPECT_THAT(left(), ElementsAre(0, 2, 2));
  EXPECT_EQ(flush(filter("2001:db8:f::9", {}, {})), 1U);
  EXPECT_THAT(left(), ElementsAre(0, 2, 0));
  fill();
  EXPECT_EQ(flush(filter(nullptr, 2, {})), 1U);
  EXPECT_THAT(left(), ElementsAre(2, 0, 2));
  EXPECT_EQ(flush({}), 2U);
  EXPECT_THAT(left(), ElementsAre(0, 0, 0));
  for (std::uint32_t i = 1; i <= 2000; ++i) put({.number = i});
  EXPECT_EQ(flush({}), 2000U);
  EXPECT_THAT(list(), SizeIs(0));
}

TEST_F(ConnectionsTest, WhatTheNodeIsToOthers) {
  const Self self{.addresses = {ip("192.0.2.100"), ip("2001:db8::100")}, .first_port = 61000, .last_port = 65535};
  ASSERT_TRUE(ok(map_.set_self(self)));
  const std::uint32_t zero = 0;
  nk_self value{};
  ASSERT_EQ(bpf_map_lookup_elem(store_->find(kSelf)->fd, &zero, &value), 0);
  EXPECT_EQ(read_mapped(value.address4), ip("192.0.2.100"));
  EXPECT_EQ(read_mapped(value.address6), ip("2001:db8::100"));
  EXPECT_EQ(value.first_port, 61000);
  EXPECT_EQ(value.last_port, 65535);
  ASSERT_TRUE(ok(map_.set_self({.addresses = {}, .first_port = 1, .last_port = 2})));
  ASSERT_EQ(bpf_map_lookup_elem(store_->find(kSelf)->fd, &zero, &value), 0);
  EXPECT_THAT(value.address4, testing::Each(0));
}

TEST_F(ConnectionsTest, TheTableOutlivesTheAgentAndIsNotReadForItsFill) {
  options_.services.enabled = true;
  reopen();
  const auto held = pinned_map(std::string(kConnections));
  table_ = held.get();
  put({.number = 1});
  EXPECT_EQ(entries_of(*datapath_, std::string(kConnections)), 0U);
  reopen();
  std::size_t listed = 0;
  ASSERT_TRUE(ok(datapath_->list_connections(0, [&](const ConnectionEntry&) { ++listed; })));
  EXPECT_EQ(listed, 2U);
  for (bool over = false; !over;) {
    const auto step = datapath_->sweep_connections();
    ASSERT_TRUE(ok(step));
    over = step->round_over;
  }
  EXPECT_EQ(entries_of(*datapath_, std::string(kConnections)), 2U);
  EXPECT_EQ(datapath_->connection_counts()->max_entries, kRoom);
  EXPECT_TRUE(ok(datapath_->set_self({.addresses = {}, .first_port = 61000, .last_port = 65535})));
  EXPECT_EQ(datapath_->flush_connections(0, {}).value().removed, 1U);
  EXPECT_EQ(directions({.number = 1}), 0);
}

TEST_F(ConnectionsTest, WithoutServicesThereIsNoTable) {
  reopen();
  EXPECT_EQ(datapath_->sweep_connections().error().code, Code::not_found);
  EXPECT_EQ(datapath_->connection_counts().error().code, Code::not_found);
  EXPECT_EQ(datapath_->set_self({}).error().code, Code::not_found);
  EXPECT_THAT(pins("maps"), testing::Each(testing::Ne(std::string(kConnections))));
}

}  // namespace
}  // namespace netkite::datapath::lab
