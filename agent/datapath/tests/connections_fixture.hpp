// SPDX-License-Identifier: Apache-2.0
// A table of connections on a real map, and entries in it as the programs would write them.
#pragma once

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <gmock/gmock.h>

#include "agent/datapath/abi.hpp"
#include "agent/datapath/connection_map.hpp"
#include "agent/datapath/map_names.hpp"
#include "agent/datapath/tests/lab.hpp"

namespace netkite::datapath::lab {

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

inline nk_tuple tuple(const Ip& source, std::uint16_t source_port, const Ip& destination,
                      std::uint16_t destination_port) {
  nk_tuple tuple{};
  write_mapped(tuple.source, source);
  write_mapped(tuple.destination, destination);
  tuple.source_port = htons(source_port);
  tuple.destination_port = htons(destination_port);
  return tuple;
}

// A machine that has been up for longer than any age.
constexpr std::uint64_t kNow = 100'000'000'000'000;

inline std::uint64_t seconds_ago(std::uint64_t seconds) { return kNow - seconds * 1'000'000'000; }

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
    auto map = ConnectionMap::open(*store_, folder("departed"));
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

}  // namespace netkite::datapath::lab
