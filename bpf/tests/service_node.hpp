// SPDX-License-Identifier: Apache-2.0
// The node of node.hpp with services. It is 192.0.2.1 and 2001:db8::1. Each set has one backend in each family, port
// 8080, and may be asked for by TCP and UDP at the node's port 30000 + set:
//   1  the pod 10.0.0.1, fd00::1 of this node
//   2  the pod 10.0.9.7, fd00:0:0:9::7 of another node
//   3  198.51.100.77, 2001:db8:77::1, outside of the cluster
//   4  the pod 10.0.7.7, fd00:0:0:7::7 of a node that is reached by the overlay
//   5  the pod of 1, and the client is to be seen
//   6  nobody; 7 the same, and the client would be seen
#pragma once

#include <bpf/bpf.h>

#include "bpf/abi/connection.h"
#include "bpf/abi/service.h"
#include "bpf/tests/node.hpp"
#include "skel/from_netdev.skel.h"
#include "skel/from_pod.skel.h"

namespace netkite::bpf_tests {

inline constexpr std::uint16_t kFirstPort = 61000, kLastPort = 65535, kBackendPort = 8080;

struct Family {
  std::string name, node, client, inside, pod, remote, outside, overlay, balancer;
};
inline const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = {
      {"IPv4", "192.0.2.1", "203.0.113.5", "10.0.9.8", "10.0.0.1", "10.0.9.7", "198.51.100.77", "10.0.7.7",
       "198.51.100.200"},
      {"IPv6", "2001:db8::1", "2001:db8:113::5", "fd00:0:0:9::8", "fd00::1", "fd00:0:0:9::7", "2001:db8:77::1",
       "fd00:0:0:7::7", "2001:db8:200::1"}};
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

// Both programs of a node, on the same maps.
struct ServiceNode {
  explicit ServiceNode(const nk_config& config = kServices, const nk_config& pods = kServices)
      : netdev(config), pod(pods, &netdev.program) {
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
    for (const auto protocol : {kTcp, kUdp}) put_entrance(family.node, port(set), protocol, value);
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
};

inline Ends reversed(const Ends& ends) {
  return {.from = ends.to, .from_port = ends.to_port, .to = ends.from, .to_port = ends.from_port};
}

}  // namespace netkite::bpf_tests
