// SPDX-License-Identifier: Apache-2.0
// Connections in the table: who gets which backend, what a new one needs, and when an old one ends.
#include <arpa/inet.h>

#include <map>
#include <set>

#include "bpf/tests/service_node.hpp"

namespace netkite::bpf_tests {
namespace {

class Connections : public ServicePath {
 protected:
  static constexpr std::uint32_t kSet = 9;

  // A set of several pods of another node, 10.0.9.10 and on, asked for at the balancer's address.
  void backends(std::uint32_t first, std::uint32_t count, const nk_entrance& entrance) const {
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t number = first + i;
      nk_backend value{};
      write_address(value.address, "10.0.9." + std::to_string(10 + i));
      value.port = big_endian(kBackendPort);
      value.set = kSet;
      put(netdev_, "nk_backend_v1", number, value);
      put(netdev_, "nk_slot_v1", nk_slot_key{.set = kSet, .index = i}, number);
    }
    for (const auto protocol : {kTcp, kUdp}) node_.put_entrance(kBalancer, 80, protocol, entrance);
  }
  static Talk asking(const std::string& client, std::uint16_t port, std::uint8_t protocol = kTcp) {
    return {.ends = {.from = client, .from_port = port, .to = kBalancer, .to_port = 80}, .protocol = protocol};
  }
  std::string backend_of(const Talk& talk) const {
    const auto outcome = netdev_.run(frame(talk));
    EXPECT_EQ(outcome.verdict, kRedirect);
    return ends_of(outcome.frame).to;
  }
  void forget_connections() const {
    const int fd = netdev_.map("nk_ct_v1");
    for (nk_tuple key{}; bpf_map_get_next_key(fd, nullptr, &key) == 0;) ASSERT_EQ(bpf_map_delete_elem(fd, &key), 0);
  }
  void remove_backend(std::uint32_t number) const {
    ASSERT_EQ(bpf_map_delete_elem(netdev_.map("nk_backend_v1"), &number), 0);
  }

  inline static const std::string kBalancer = "198.51.100.200", kClient = "203.0.113.5";
};

TEST_F(Connections, EachBackendGetsItsShareAndKeepsItsConnections) {
  backends(20, 4, {.set = kSet, .count = 4, .affinity_s = 0, .flags = 0, .table = 0});
  std::map<std::string, int> counts;
  for (std::uint16_t port = 1; port <= 20; ++port) {
    const auto first = backend_of(asking(kClient, port));
    ++counts[first];
    for (int i = 0; i < 3; ++i) EXPECT_EQ(backend_of(asking(kClient, port)), first);
  }
  EXPECT_GE(counts.size(), 3U);
}

TEST_F(Connections, AClientKeepsItsBackendForItsTime) {
  backends(20, 4, {.set = kSet, .count = 4, .affinity_s = 3600, .flags = 0, .table = 0});
  std::set<std::string> one, all;
  for (std::uint16_t i = 1; i <= 20; ++i) one.insert(backend_of(asking(kClient, i)));
  EXPECT_EQ(one.size(), 1U);
  forget_connections();
  for (std::uint16_t i = 1; i <= 20; ++i) all.insert(backend_of(asking("203.0.113." + std::to_string(i), 7)));
  EXPECT_GE(all.size(), 3U);

  // Its last connection is longer ago than the service wants.
  forget_connections();
  nk_client_key key{};
  write_address(key.address, kClient);
  key.set = kSet;
  put(netdev_, "nk_client_v1", key, nk_affinity{.time_ns = 1, .backend = 20, .pad = 0});
  std::set<std::string> later;
  for (std::uint16_t i = 1; i <= 20; ++i) {
    put(netdev_, "nk_client_v1", key, nk_affinity{.time_ns = ~0ULL - 3600'000'000'000ULL, .backend = 20, .pad = 0});
    later.insert(backend_of(asking(kClient, i)));
  }
  EXPECT_GE(later.size(), 2U);
}

TEST_F(Connections, AClientsBackendThatHasGoneIsReplaced) {
  backends(20, 2, {.set = kSet, .count = 2, .affinity_s = 3600, .flags = 0, .table = 0});
  const auto first = backend_of(asking(kClient, 1));
  remove_backend(first == "10.0.9.10" ? 20 : 21);
  const auto slot = first == "10.0.9.10" ? 21U : 20U;
  for (std::uint32_t index = 0; index < 2; ++index)
    put(netdev_, "nk_slot_v1", nk_slot_key{.set = kSet, .index = index}, slot);
  EXPECT_NE(backend_of(asking(kClient, 2)), first);
}

TEST_F(Connections, ByItsTableABackendIsTheSameForTheSameConnection) {
  constexpr std::uint32_t kPlaces = 127;
  backends(20, 4, {.set = kSet, .count = 4, .affinity_s = 0, .flags = NK_ENTRANCE_MAGLEV, .table = kPlaces});
  for (std::uint32_t piece = 0; piece * NK_MAGLEV_PIECE < kPlaces; ++piece) {
    nk_maglev value{};
    for (std::uint32_t i = 0; i < NK_MAGLEV_PIECE; ++i) value.backends[i] = 20 + (piece * NK_MAGLEV_PIECE + i) % 4;
    put(netdev_, "nk_maglev_v1", nk_maglev_key{.set = kSet, .piece = piece}, value);
  }
  std::map<std::uint16_t, std::string> chosen;
  std::map<std::string, int> counts;
  for (std::uint16_t port = 1; port <= 24; ++port) ++counts[chosen[port] = backend_of(asking(kClient, port))];
  EXPECT_EQ(counts.size(), 4U);
  forget_connections();
  for (const auto& [port, backend] : chosen) EXPECT_EQ(backend_of(asking(kClient, port)), backend);
  // A table that still names a backend that has gone.
  forget_connections();
  remove_backend(23);
  put(netdev_, "nk_slot_v1", nk_slot_key{.set = kSet, .index = 3}, std::uint32_t{20});
  for (const auto& [port, backend] : chosen) {
    if (backend != "10.0.9.13") {
      EXPECT_EQ(backend_of(asking(kClient, port)), backend);
    } else {
      EXPECT_NE(backend_of(asking(kClient, port)), backend);
    }
  }
}

TEST_F(Connections, OnlyClientsWithinTheRangesComeIn) {
  backends(20, 1, {.set = kSet, .count = 1, .affinity_s = 0, .flags = NK_ENTRANCE_RANGES, .table = 0});
  expect_dropped(netdev_, asking(kClient, 1), NK_DROP_SOURCE_RANGE);
  nk_range range{.length = 32 + 96 + 24, .set = htonl(kSet), .address = {}};
  write_address(range.address, "203.0.113.0");
  put(netdev_, "nk_range_v1", range, std::uint32_t{0});
  EXPECT_EQ(backend_of(asking(kClient, 1)), "10.0.9.10");
  expect_dropped(netdev_, asking("203.0.112.5", 1), NK_DROP_SOURCE_RANGE);
}

TEST_F(Connections, AFlowOfDatagramsMovesWhenItsBackendGoesAndAStreamStays) {
  constexpr std::uint16_t kStreams = 15;  // so many that chance does not give all of them the same backend
  backends(20, 2, {.set = kSet, .count = 2, .affinity_s = 0, .flags = 0, .table = 0});
  for (std::uint16_t port = 1; port <= kStreams; ++port) {
    backend_of(asking(kClient, port));
    backend_of(asking(kClient, port, kUdp));
  }
  const auto before = node_.connections();
  remove_backend(21);
  put(netdev_, "nk_slot_v1", nk_slot_key{.set = kSet, .index = 1}, std::uint32_t{20});
  std::set<std::string> streams;
  for (std::uint16_t port = 1; port <= kStreams; ++port) {
    EXPECT_EQ(backend_of(asking(kClient, port, kUdp)), "10.0.9.10");
    auto more = asking(kClient, port);
    more.flags = kAck;
    streams.insert(backend_of(more));
  }
  EXPECT_EQ(streams.size(), 2U);
  EXPECT_EQ(node_.connections(), before);
}

TEST_F(Connections, APortThatIsUsedAnewBeginsANewConnection) {
  backends(20, 4, {.set = kSet, .count = 4, .affinity_s = 0, .flags = 0, .table = 0});
  std::set<std::string> seen;
  for (int i = 0; i < 20; ++i) {
    const auto ends = ends_of(netdev_.run(frame(asking(kClient, 1))).frame);
    seen.insert(ends.to);
    const Talk last{.ends = reversed(ends), .flags = kAck | kFin};
    EXPECT_EQ(netdev_.run(frame(last)).verdict, kRedirect);
    auto end = asking(kClient, 1);
    end.flags = kAck | kFin;
    backend_of(end);
  }
  EXPECT_GE(seen.size(), 2U);
  EXPECT_EQ(node_.connections(), 2U);
  // The other side has ended it.
  const auto ends = ends_of(netdev_.run(frame(asking(kClient, 1))).frame);
  auto reset = Talk{.ends = reversed(ends), .flags = kRst};
  EXPECT_EQ(netdev_.run(frame(reset)).verdict, kRedirect);
  EXPECT_NE(node_.connection(reset.ends, kTcp)->seen & NK_CT_RST, 0);
  backend_of(asking(kClient, 1));
  EXPECT_EQ(node_.connections(), 2U);
  EXPECT_EQ(node_.connection(asking(kClient, 1).ends, kTcp)->seen, NK_CT_SYN);
}

// Somebody sends in the client's name, and knows no more than addresses and ports.
TEST_F(Connections, WhatMayBeForgedEndsNoConnection) {
  backends(20, 4, {.set = kSet, .count = 4, .affinity_s = 0, .flags = 0, .table = 0});
  const auto ask = asking(kClient, 1);
  const auto seen = ends_of(netdev_.run(frame(ask)).frame);
  const auto send = [&](std::uint8_t flags) {
    auto talk = ask;
    talk.flags = flags;
    EXPECT_EQ(ends_of(netdev_.run(frame(talk)).frame), seen);
    return node_.connection(ask.ends, kTcp)->seen;
  };
  EXPECT_EQ(send(kAck), NK_CT_SYN | NK_CT_ACK);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(send(kRst), NK_CT_SYN | NK_CT_ACK | NK_CT_RST);
    EXPECT_EQ(send(kSyn), NK_CT_SYN | NK_CT_ACK);
    EXPECT_EQ(send(kFin | kAck), NK_CT_SYN | NK_CT_ACK | NK_CT_FIN);
    EXPECT_EQ(send(kSyn), NK_CT_SYN | NK_CT_ACK);
  }
  // The client itself goes on.
  send(kRst);
  EXPECT_EQ(send(kAck), NK_CT_SYN | NK_CT_ACK);
  EXPECT_EQ(node_.connections(), 2U);
}

TEST_F(Connections, AfterAResetAPortIsNotTiedToABackendThatHasGone) {
  backends(20, 2, {.set = kSet, .count = 2, .affinity_s = 0, .flags = 0, .table = 0});
  std::uint16_t port = 1;
  while (backend_of(asking(kClient, port)) == "10.0.9.10") ++port;
  remove_backend(21);
  put(netdev_, "nk_slot_v1", nk_slot_key{.set = kSet, .index = 1}, std::uint32_t{20});
  EXPECT_NE(backend_of(asking(kClient, port)), "10.0.9.10");
  auto reset = asking(kClient, port);
  reset.flags = kRst;
  backend_of(reset);
  EXPECT_EQ(backend_of(asking(kClient, port)), "10.0.9.10");
}

TEST_F(Connections, SaysWhatItHasSeen) {
  const Flavour flavour{.family = families().front(), .protocol = kTcp};
  auto ask = flavour.asking(flavour.family.client, 1, 1);
  const auto seen = ends_of(netdev_.run(frame(ask)).frame);
  EXPECT_EQ(node_.connection(ask.ends, kTcp)->seen, NK_CT_SYN);
  EXPECT_EQ(node_.connection(reversed(seen), kTcp)->seen, 0);
  EXPECT_EQ(node_.connection(reversed(seen), kTcp)->reply, 1);
  EXPECT_GT(node_.connection(ask.ends, kTcp)->time_ns, 0U);
  EXPECT_EQ(node_.connection(ask.ends, kTcp)->ifindex, kDevice);
  EXPECT_EQ(pod_.run(frame(flavour.answer(seen))).verdict, kRedirect);
  EXPECT_EQ(node_.connection(reversed(seen), kTcp)->seen, NK_CT_SYN | NK_CT_ACK);
  ask.flags = kAck | kFin;
  EXPECT_EQ(netdev_.run(frame(ask)).verdict, kRedirect);
  EXPECT_EQ(node_.connection(ask.ends, kTcp)->seen, NK_CT_SYN | NK_CT_ACK | NK_CT_FIN);
}

// A keep-alive may come with the tick of the last one: ticks are counted by seven bits, and timers are round.
TEST_F(Connections, AfterSilenceTheTimeIsNewWhateverTheTickIs) {
  const Flavour flavour{.family = families().front(), .protocol = kTcp};
  const auto ask = flavour.asking(flavour.family.client, 1, 1);
  EXPECT_EQ(netdev_.run(frame(ask)).verdict, kRedirect);
  EXPECT_EQ(netdev_.run(frame(ask)).verdict, kRedirect);
  auto entry = node_.connection(ask.ends, kTcp).value();
  const auto last = entry.time_ns;
  entry.time_ns -= 5'000'000'000;
  put(netdev_, "nk_ct_v1", tuple_of(ask.ends, kTcp), entry);
  EXPECT_EQ(netdev_.run(frame(ask)).verdict, kRedirect);
  EXPECT_GE(node_.connection(ask.ends, kTcp)->time_ns, last);
}

TEST_F(Connections, WithoutAPortLeftOrRoomANewOneIsRefusedAndOthersGoOn) {
  nk_self self{};
  write_address(self.address4, "192.0.2.1");
  self.first_port = 61000;
  self.last_port = 61009;
  put(netdev_, "nk_self_v1", std::uint32_t{0}, self);
  backends(20, 1, {.set = kSet, .count = 1, .affinity_s = 0, .flags = 0, .table = 0});
  std::set<std::uint16_t> ports;
  std::uint16_t refused = 0;
  for (std::uint16_t port = 1; port <= 30; ++port) {
    const auto outcome = netdev_.run(frame(asking(kClient, port)));
    if (outcome.verdict == kDrop) {
      refused = port;
    } else {
      EXPECT_TRUE(ports.insert(ends_of(outcome.frame).from_port).second) << "a port is given twice";
    }
  }
  EXPECT_GE(ports.size(), 8U);
  EXPECT_EQ(*ports.begin() / 10, 6100);
  EXPECT_EQ(*ports.rbegin() / 10, 6100);
  expect_dropped(netdev_, asking(kClient, refused), NK_DROP_PORTS_EXHAUSTED);
  EXPECT_EQ(node_.connections(), 2 * ports.size());

  // 64 entries fit into the test's table.
  const Flavour flavour{.family = families().front(), .protocol = kTcp};
  for (std::uint16_t port = 1; port <= 64; ++port) (void)netdev_.run(frame(flavour.asking(kClient, port, 1)));
  EXPECT_EQ(node_.connections(), 64U);
  expect_dropped(netdev_, flavour.asking(kClient, 99, 1), NK_DROP_CONNECTIONS_FULL);
  EXPECT_EQ(netdev_.run(frame(flavour.asking(kClient, 1, 1))).verdict, kRedirect);
}

TEST_F(Connections, WithoutAnAddressOfItsOwnOnlyPodsOfThisNodeCanServe) {
  put(netdev_, "nk_self_v1", std::uint32_t{0}, nk_self{});
  each([&](const Flavour& flavour) {
    expect_dropped(netdev_, flavour.asking(flavour.family.client, 1, 2), NK_DROP_UNREACHABLE_BACKEND);
    EXPECT_EQ(netdev_.run(frame(flavour.asking(flavour.family.client, 1, 1))).verdict, kRedirect);
  });
}

}  // namespace
}  // namespace netkite::bpf_tests
