// SPDX-License-Identifier: Apache-2.0
// The node of node.hpp with services. It is 192.0.2.1 and 2001:db8::1. Each set has one backend in each family, port
// 8080, and may be asked for by TCP and UDP at the node's port 30000 + set, by pods at that port of the family's
// `cluster`:
//   1  the pod 10.0.0.1, fd00::1 of this node
//   2  the pod 10.0.9.7, fd00:0:0:9::7 of another node
//   3  198.51.100.77, 2001:db8:77::1, outside of the cluster
//   4  the pod 10.0.7.7, fd00:0:0:7::7 of a node that is reached by the overlay
//   5  the pod of 1, and the client is to be seen
//   6  nobody; 7 the same, and the client would be seen
#pragma once

#include <bpf/bpf.h>

#include <cerrno>

#include "bpf/abi/connection.h"
#include "bpf/abi/service.h"
#include "bpf/tests/node.hpp"
#include "skel/from_netdev.skel.h"
#include "skel/from_pod.skel.h"
#include "skel/to_netdev.skel.h"
#include "skel/to_pod.skel.h"

namespace netkite::bpf_tests {

inline constexpr std::uint16_t kFirstPort = 61000, kLastPort = 65535, kBackendPort = 8080;

struct Family {
  std::string name, node, client, inside, pod, remote, outside, overlay, balancer, hooked, cluster;
};
inline const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = {
      {"IPv4", "192.0.2.1", "203.0.113.5", "10.0.9.8", "10.0.0.1", "10.0.9.7", "198.51.100.77", "10.0.7.7",
       "198.51.100.200", "10.0.0.6", "10.96.0.10"},
      {"IPv6", "2001:db8::1", "2001:db8:113::5", "fd00:0:0:9::8", "fd00::1", "fd00:0:0:9::7", "2001:db8:77::1",
       "fd00:0:0:7::7", "2001:db8:200::1", "fd00::6", "fd96::10"}};
  return kFamilies;
}

// As the maps have it.
template <std::size_t Size>
void write_address(std::uint32_t (&words)[Size], const std::string& text) {
  auto bytes = address(text);
  if (bytes.size() == 4) bytes = Bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff} + bytes;
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::uint8_t*>(words));
}

inline std::uint16_t big_endian(std::uint16_t value) { return static_cast<std::uint16_t>(value << 8 | value >> 8); }

inline nk_tuple tuple_of(const Ends& ends, std::uint8_t protocol) {
  nk_tuple tuple{};
  write_address(tuple.source, ends.from);
  write_address(tuple.destination, ends.to);
  tuple.source_port = big_endian(ends.from_port);
  tuple.destination_port = big_endian(ends.to_port);
  tuple.protocol = protocol;
  return tuple;
}

template <typename Key, typename Value>
void put(const Program& program, const char* map, const Key& key, const Value& value) {
  ASSERT_EQ(bpf_map_update_elem(program.map(map), &key, &value, BPF_ANY), 0) << map;
}

// The programs of a node, on the same maps.
struct ServiceNode {
  explicit ServiceNode(const nk_config& config = kServices, const nk_config& pods = kServices)
      : netdev(config),
        pod(pods, &netdev.program),
        to_uplink(config, &netdev.program),
        to_device(pods, &netdev.program) {
    nk_self self{};
    write_address(self.address4, "192.0.2.1");
    write_address(self.address6, "2001:db8::1");
    self.first_port = kFirstPort;
    self.last_port = kLastPort;
    put(netdev.program, "nk_self_v1", std::uint32_t{0}, self);
    for (const auto& family : families()) {
      // Numbers of backends differ by family, those of sets do not: the tests say which is meant.
      backend(1, family.pod);
      backend(2, family.remote);
      backend(3, family.outside);
      backend(4, family.overlay);
      backend(5, family.pod);
      for (std::uint32_t set = 1; set <= 5; ++set) entrance(family, set, 1, set == 5 ? NK_ENTRANCE_KEEP_SOURCE : 0);
      entrance(family, 6, 0, 0);
      entrance(family, 7, 0, NK_ENTRANCE_KEEP_SOURCE);
      backend(8, family.node);
      backend(9, family.hooked);
      for (const auto set : {8U, 9U}) entrance(family, set, 1, 0);
    }
  }

  static std::uint32_t set_of(std::uint32_t set, const std::string& text) {
    return text.find(':') == std::string::npos ? set : set + 100;
  }
  // The only backend of a set, and its number.
  void backend(std::uint32_t set, const std::string& text) const {
    const auto number = set_of(set, text);
    nk_backend value{};
    write_address(value.address, text);
    value.port = big_endian(kBackendPort);
    value.set = number;
    put(netdev.program, "nk_backend_v1", number, value);
    put(netdev.program, "nk_slot_v1", nk_slot_key{.set = number, .index = 0}, number);
  }
  void entrance(const Family& family, std::uint32_t set, std::uint32_t count, std::uint32_t flags) const {
    const nk_entrance value{
        .set = set_of(set, family.node), .count = count, .affinity_s = 0, .flags = flags, .table = 0};
    for (const auto protocol : {kTcp, kUdp}) {
      put_entrance(family.node, port(set), protocol, value);
      put_frontend(family, set, count, protocol);
    }
  }
  void put_frontend(const Family& family, std::uint32_t set, std::uint32_t count, std::uint8_t protocol) const {
    nk_service_address key{};
    write_address(key.address, family.cluster);
    key.port = big_endian(port(set));
    key.protocol = protocol;
    put(pod.program, "nk_frontend_v1", key,
        nk_frontend{.set = set_of(set, family.node), .count = count, .affinity_s = 0});
  }
  void put_entrance(const std::string& text, std::uint16_t port, std::uint8_t protocol,
                    const nk_entrance& value) const {
    nk_service_address key{};
    write_address(key.address, text);
    key.port = big_endian(port);
    key.protocol = protocol;
    put(netdev.program, "nk_entrance_v1", key, value);
  }
  static std::uint16_t port(std::uint32_t set) { return static_cast<std::uint16_t>(30000 + set); }

  [[nodiscard]] std::optional<nk_connection> connection(const Ends& ends, std::uint8_t protocol) const {
    const auto key = tuple_of(ends, protocol);
    nk_connection value{};
    if (bpf_map_lookup_elem(netdev.program.map("nk_ct_v1"), &key, &value) != 0) return std::nullopt;
    return value;
  }
  [[nodiscard]] std::size_t connections() const {
    std::size_t count = 0;
    nk_tuple key{}, next{};
    const int fd = netdev.program.map("nk_ct_v1");
    for (const nk_tuple* last = nullptr; bpf_map_get_next_key(fd, last, &next) == 0; last = &key, ++count) key = next;
    return count;
  }

  OnNode<from_netdev> netdev;
  OnNode<from_pod> pod;
  OnNode<to_netdev> to_uplink;
  OnNode<to_pod> to_device;
};

inline Ends reversed(const Ends& ends) {
  return {.from = ends.to, .from_port = ends.to_port, .to = ends.from, .to_port = ends.from_port};
}

inline Talk with_ends(Talk talk, const Ends& ends) {
  talk.ends = ends;
  --talk.hops;
  return talk;
}

// The frame leaves with these ends, one hop less and right checksums; with a sum beside it, too.
inline void expect_becomes(const Program& program, const Talk& talk, const Ends& ends) {
  const auto before = program.drops();
  const auto outcome = program.run(frame(talk));
  ASSERT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.verdict, kRedirect);
  EXPECT_EQ(outcome.frame, frame(with_ends(talk, ends)));
  EXPECT_EQ(ends_of(outcome.frame), ends);
  EXPECT_EQ(difference(before, program.drops()), std::vector<Drop>{});
  const auto summed = program.run_summed(frame(talk));
  if (summed.status == -EINVAL) return;  // an older kernel cannot
  EXPECT_EQ(summed.status, 0) << "the sum over the packet is wrong now";
  EXPECT_EQ(summed.frame, outcome.frame);
}

// Up the stack, and from there: as it is but for the ends, and with right checksums.
inline void expect_at_stack(const Program& program, const Talk& talk, const Ends& ends, int verdict = kNext) {
  auto expected = talk;
  expected.ends = ends;
  for (const auto& outcome : {program.run(frame(talk)), program.run_summed(frame(talk))}) {
    if (outcome.status == -EINVAL) continue;  // an older kernel makes no sums
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.verdict, verdict);
    EXPECT_EQ(outcome.frame, frame(expected));
  }
}

inline void expect_dropped(const Program& program, const Talk& talk, std::uint32_t reason) {
  check_once(program, Case{"", frame(talk), kDrop, reason});
}

struct Flavour {
  Family family;
  std::uint8_t protocol = kTcp;
  [[nodiscard]] Talk asking(const std::string& client, std::uint16_t port, std::uint32_t set) const {
    return {.ends = {.from = client, .from_port = port, .to = family.node, .to_port = ServiceNode::port(set)},
            .protocol = protocol,
            .payload = Bytes(protocol == kUdp ? 33 : 0, 0xa5)};
  }
  // The other side's next packet.
  [[nodiscard]] Talk answer(const Ends& seen) const {
    return {.ends = reversed(seen), .protocol = protocol, .flags = kSyn | kAck, .payload = Bytes(40, 0x5a)};
  }
};

template <typename Body>
void each(const Body& body) {
  for (const auto& family : families()) {
    for (const auto protocol : {kTcp, kUdp}) {
      SCOPED_TRACE(family.name + (protocol == kTcp ? " TCP" : " UDP"));
      body(Flavour{.family = family, .protocol = protocol});
    }
  }
}

class ServicePath : public testing::Test {
 protected:
  ServiceNode node_;
  const Program& netdev_ = node_.netdev.program;
  const Program& pod_ = node_.pod.program;
  const Program& egress_ = node_.to_uplink.program;

  // With this node as the sender; returns the ends that the backend sees.
  Ends expect_from_node(const Flavour& flavour, const Talk& talk, const std::string& backend) const {
    const auto outcome = netdev_.run(frame(talk));
    const auto seen = ends_of(outcome.frame);
    EXPECT_GE(seen.from_port, kFirstPort);
    expect_becomes(netdev_, talk,
                   {.from = flavour.family.node, .from_port = seen.from_port, .to = backend, .to_port = kBackendPort});
    return seen;
  }
};

}  // namespace netkite::bpf_tests
