// SPDX-License-Identifier: Apache-2.0
// The table of connections on a real map: what becomes old, lists and flushes in steps, and what the node is to others.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <gmock/gmock.h>

#include <set>

#include "agent/datapath/abi.hpp"
#include "agent/datapath/connection_map.hpp"
#include "agent/datapath/map_names.hpp"
#include "agent/datapath/tests/lab.hpp"

namespace netkite::datapath::lab {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

constexpr std::uint8_t kBothOpen = NK_CT_SYN | NK_CT_ACK;
constexpr std::uint32_t kRoom = 8192;

// A connection of a client that is told apart by a number, as the programs would write it.
struct Sample {
  std::uint32_t number = 0;
  std::uint64_t silent_s = 0;  // both directions
  std::uint8_t there = kBothOpen, back = kBothOpen;
  std::uint8_t protocol = IPPROTO_TCP, use = NK_CT_SERVICE;
  bool v6 = false;
};

nk_tuple tuple(const Ip& source, std::uint16_t source_port, const Ip& destination, std::uint16_t destination_port) {
  nk_tuple tuple{};
  write_mapped(tuple.source, source);
  write_mapped(tuple.destination, destination);
  tuple.source_port = htons(source_port);
  tuple.destination_port = htons(destination_port);
  return tuple;
}

// A machine that has been up for longer than any age.
constexpr std::uint64_t kNow = 100'000'000'000'000;

std::uint64_t seconds_ago(std::uint64_t seconds) { return kNow - seconds * 1'000'000'000; }

class ConnectionsTest : public LabTest {
 protected:
  void SetUp() override {
    LabTest::SetUp();
    if (IsSkipped()) return;
    options_.services.max_connections = kRoom / 2;
    const auto pins = Pins::open(options_.bpffs);
    ASSERT_TRUE(ok(pins));
    store_.emplace(*pins, options_);
    ASSERT_TRUE(ok(store_->open({.name = std::string(kConnections),
                                 .type = BPF_MAP_TYPE_HASH,
                                 .key_size = sizeof(nk_tuple),
                                 .value_size = sizeof(nk_connection),
                                 .max_entries = kRoom,
                                 .flags = BPF_F_NO_PREALLOC})));
    ASSERT_TRUE(ok(store_->open({.name = std::string(kSelf),
                                 .type = BPF_MAP_TYPE_ARRAY,
                                 .key_size = sizeof(std::uint32_t),
                                 .value_size = sizeof(nk_self),
                                 .max_entries = 1})));
    auto map = ConnectionMap::open(*store_);
    ASSERT_TRUE(ok(map));
    map_ = *std::move(map);
    table_ = store_->find(kConnections)->fd;
  }

  // The keys of both directions.
  struct Keys {
    nk_tuple there, back;
  };
  static Keys keys_of(const Sample& sample) {
    const auto client = sample.v6 ? ip("2001:db8:f::9") : ip("203.0.113.9");
    const auto node = sample.v6 ? ip("2001:db8::100") : ip("192.0.2.100");
    const auto backend = sample.v6 ? ip("fd77::2") : ip("10.77.1.2");
    const auto port = static_cast<std::uint16_t>(sample.number);
    Keys keys{.there = tuple(client, port, node, 30080), .back = tuple(backend, 8080, node, port)};
    keys.there.protocol = keys.back.protocol = sample.protocol;
    // Beyond 65,536 the numbers stand in padding, which is part of the key.
    keys.there.pad[0] = keys.back.pad[0] = static_cast<std::uint8_t>(sample.number >> 16U);
    return keys;
  }
  void put(const Sample& sample, std::uint64_t flags = BPF_ANY) const {
    const auto keys = keys_of(sample);
    write(keys.back, other_way(keys.there), sample, true, flags);
    write(keys.there, other_way(keys.back), sample, false, flags);
  }
  static nk_tuple other_way(const nk_tuple& of) {
    auto turned = of;
    std::swap(turned.source, turned.destination);
    std::swap(turned.source_port, turned.destination_port);
    return turned;
  }
  void write(const nk_tuple& key, const nk_tuple& to, const Sample& sample, bool reply, std::uint64_t flags) const {
    nk_connection value{};
    value.to = to;
    value.time_ns = seconds_ago(sample.silent_s);
    value.use = sample.use;
    value.reply = reply ? 1 : 0;
    value.seen = reply ? sample.back : sample.there;
    if (bpf_map_update_elem(table_, &key, &value, flags) != 0) {
      EXPECT_EQ(flags, std::uint64_t{BPF_EXIST}) << strerror(errno);
    }
  }
  void erase(const nk_tuple& key) const { EXPECT_EQ(bpf_map_delete_elem(table_, &key), 0); }
  bool has(const nk_tuple& key) const {
    nk_connection value{};
    return bpf_map_lookup_elem(table_, &key, &value) == 0;
  }
  // How many of a connection's directions are there.
  int directions(const Sample& sample) const {
    const auto keys = keys_of(sample);
    return (has(keys.there) ? 1 : 0) + (has(keys.back) ? 1 : 0);
  }
  // One round; the number of its steps.
  int sweep() {
    for (int steps = 1;; ++steps) {
      const auto step = map_.sweep(kNow);
      EXPECT_TRUE(ok(step));
      if (!step || step->round_over) return steps;
    }
  }
  std::vector<ConnectionEntry> list() const {
    std::vector<ConnectionEntry> all;
    for (ConnectionPlace place = 0; place;) {
      const auto next = map_.list(*place, kNow, [&](const ConnectionEntry& entry) { all.push_back(entry); });
      EXPECT_TRUE(ok(next));
      place = next.value_or(std::nullopt);
    }
    return all;
  }
  std::uint64_t flush(const ConnectionFilter& filter) const {
    std::uint64_t removed = 0;
    for (ConnectionPlace place = 0; place;) {
      const auto step = map_.flush(*place, filter);
      EXPECT_TRUE(ok(step));
      if (!step) break;
      removed += step->removed;
      place = step->next;
    }
    return removed;
  }
  std::uint64_t counted(const std::string& use, const std::string& protocol) const {
    for (const auto& kind : map_.counts().kinds) {
      if (kind.use == use && kind.protocol == protocol) return kind.connections;
    }
    return ~std::uint64_t{0};
  }

  std::optional<MapStore> store_;
  ConnectionMap map_;
  int table_ = -1;
};

TEST_F(ConnectionsTest, WhatIsOldGoesInBothDirections) {
  const Sample alive{.number = 1, .silent_s = 7000}, silent{.number = 2, .silent_s = 8001};
  const Sample opening{.number = 3, .silent_s = 31, .there = NK_CT_SYN}, fresh{.number = 4, .there = NK_CT_SYN};
  const Sample echo{.number = 5, .silent_s = 31, .protocol = IPPROTO_ICMPV6, .v6 = true};
  const Sample pod{.number = 6, .silent_s = 100, .protocol = IPPROTO_UDP, .use = NK_CT_MASQUERADE};
  for (const auto& each : {alive, silent, opening, fresh, echo, pod}) put(each);
  sweep();
  for (const auto& each : {alive, fresh, pod}) EXPECT_EQ(directions(each), 2) << each.number;
  for (const auto& each : {silent, opening, echo}) EXPECT_EQ(directions(each), 0) << each.number;
  EXPECT_EQ(map_.counts().entries, 6U);
  EXPECT_EQ(map_.counts().max_entries, kRoom);
  EXPECT_EQ(map_.counts().expired, 3U);
  EXPECT_EQ(counted("service", "TCP"), 2U);
  EXPECT_EQ(counted("masquerade", "UDP"), 1U);
  EXPECT_EQ(counted("service", "ICMPv6"), 0U);
  EXPECT_THAT(map_.counts().kinds, SizeIs(8));
}

TEST_F(ConnectionsTest, OneDirectionThatSpeaksKeepsBoth) {
  const Sample sample{.number = 1, .silent_s = 9000};
  put(sample);
  const auto keys = keys_of(sample);
  write(keys.back, other_way(keys.there), {.number = 1}, true, BPF_ANY);
  sweep();
  EXPECT_EQ(directions(sample), 2);
}

TEST_F(ConnectionsTest, HalfAConnectionGoesSoonButNotAtOnce) {
  const Sample young{.number = 1}, old{.number = 2, .silent_s = 6}, old_reply{.number = 3, .silent_s = 6};
  for (const auto& each : {young, old, old_reply}) put(each);
  erase(keys_of(young).there);
  erase(keys_of(old).back);
  erase(keys_of(old_reply).there);
  sweep();
  EXPECT_EQ(directions(young), 1);
  EXPECT_EQ(directions(old), 0);
  EXPECT_EQ(directions(old_reply), 0);
}

TEST_F(ConnectionsTest, WhatAnEarlierConnectionHasLeftDoesNotTakeItsHeirAlong) {
  const Sample earlier{.number = 1, .silent_s = 9000}, heir{.number = 2};
  put(earlier);
  put(heir);
  const auto old_keys = keys_of(earlier), new_keys = keys_of(heir);
  // The client's first port leads to the answers of the second.
  erase(new_keys.there);
  write(new_keys.back, other_way(old_keys.there), heir, true, BPF_ANY);
  write(old_keys.there, other_way(new_keys.back), {.number = 1, .silent_s = 9000}, false, BPF_ANY);
  sweep();
  EXPECT_FALSE(has(old_keys.back));
  EXPECT_TRUE(has(old_keys.there));
  EXPECT_TRUE(has(new_keys.back));
}

TEST_F(ConnectionsTest, ALongTableTakesManyStepsAndEachEntryIsSeenOnce) {
  constexpr std::uint32_t kMany = 2500;
  for (std::uint32_t i = 1; i <= kMany; ++i) put({.number = i, .silent_s = i % 2 == 0 ? 9000U : 1U});
  EXPECT_GT(sweep(), 5);
  EXPECT_EQ(map_.counts().entries, kMany);  // half of twice as many
  EXPECT_EQ(map_.counts().expired, kMany / 2);
  std::set<std::uint16_t> clients;
  const auto all = list();
  EXPECT_THAT(all, SizeIs(kMany));
  for (const auto& entry : all) {
    if (!entry.reply) clients.insert(entry.from.source_port);
  }
  EXPECT_THAT(clients, SizeIs(kMany / 2));
  EXPECT_EQ(sweep(), 5);
  EXPECT_EQ(map_.counts().expired, kMany / 2);
}

TEST_F(ConnectionsTest, AFloodThatNobodyHasAnsweredMakesRoom) {
  for (std::uint32_t i = 1; i <= kRoom / 2 * 31 / 32; ++i) put({.number = i, .silent_s = 3, .there = NK_CT_SYN});
  const Sample good{.number = 65'000, .silent_s = 3}, new_one{.number = 65'001, .there = NK_CT_SYN};
  put(good);
  put(new_one);
  const auto first = map_.sweep(kNow);
  ASSERT_TRUE(ok(first));
  EXPECT_FALSE(first->hurry);
  // It is known before the first round is over how full the table is.
  bool hurried = false;
  for (int i = 0; i < 40; ++i) {
    const auto step = map_.sweep(kNow);
    ASSERT_TRUE(ok(step));
    hurried |= step->hurry;
  }
  EXPECT_TRUE(hurried);
  sweep();
  EXPECT_EQ(directions(good), 2);
  EXPECT_EQ(directions(new_one), 2);
  EXPECT_EQ(map_.counts().entries, 4U);
}

TEST_F(ConnectionsTest, WhatAPacketHasRenewedMeanwhileGoesBack) {
  using Fate = ConnectionMap::Fate;
  const Sample old{.number = 1, .silent_s = 9000}, renewed{.number = 1};
  const Sample reset{.number = 1, .silent_s = 9000, .back = kBothOpen | NK_CT_RST};
  const auto keys = keys_of(old);
  const auto look = [&](const nk_tuple& key) {
    nk_connection value{};
    EXPECT_EQ(bpf_map_lookup_elem(table_, &key, &value), 0);
    return map_.pair_of({key, value}).value();
  };
  // Looked at from either end, and a packet of either direction comes, or nothing but a flag.
  for (const auto& key : {keys.there, keys.back}) {
    for (const auto& [renew_there, packet] :
         {std::pair{true, renewed}, std::pair{false, renewed}, std::pair{false, reset}}) {
      put(old);
      const auto pair = look(key);
      renew_there ? write(keys.there, other_way(keys.back), packet, false, BPF_EXIST)
                  : write(keys.back, other_way(keys.there), packet, true, BPF_EXIST);
      EXPECT_EQ(map_.take(pair).value(), Fate::stays);
      ASSERT_EQ(directions(old), 2);
      const auto now = look(renew_there ? keys.there : keys.back).entry;
      EXPECT_EQ(now.time_ns, seconds_ago(packet.silent_s));
      EXPECT_EQ(now.seen, renew_there ? packet.there : packet.back);
    }
  }
  put(old);
  const auto pair = look(keys.there);
  EXPECT_EQ(map_.take(pair).value(), Fate::expired);
  EXPECT_EQ(directions(old), 0);
  EXPECT_EQ(map_.take(pair).value(), Fate::gone);
}

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
