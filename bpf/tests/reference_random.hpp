// SPDX-License-Identifier: Apache-2.0
// Random packets, valid and broken, about the node of service_node.hpp, and what is compared after them.
#pragma once

#include <arpa/inet.h>

#include <cstring>
#include <random>

#include "bpf/tests/masquerade_node.hpp"
#include "bpf/tests/reference.hpp"

namespace netkite::bpf_tests {

inline constexpr int kUsual = 200'000, kBeforeForgetting = 4000;

inline std::string text(const reference::Address& address) {
  const bool v4 = reference::is_v4(address);
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  ::inet_ntop(v4 ? AF_INET : AF_INET6, address.data() + (v4 ? 12 : 0), buffer.data(), buffer.size());
  return buffer.data();
}

// From where the program that judges a packet gets it.
enum class Sender { uplink, pod, stack };

class Packets {
 public:
  Packets(const reference::Node& reference, bool outside) : reference_(reference), outside_(outside) {}

  Bytes next(Sender sender) {
    auto bytes = number(8) == 0    ? other(sender)
                 : number(8) == 0  ? error(sender)
                 : number(10) == 0 ? piece(sender)
                                   : sent(talk(sender));
    if (number(20) == 0) leave_out_checksum(bytes);
    if (number(8) == 0) damage(bytes);
    return bytes;
  }
  std::size_t number(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(engine_); }

 private:
  const std::string& one_of(const std::vector<std::string>& values) { return values[number(values.size())]; }

  template <typename Known>
  typename Known::key_type any_of(const Known& known) {
    auto chosen = known.begin();
    std::advance(chosen, static_cast<long>(number(known.size())));
    return chosen->first;
  }

  static bool is_pod(const reference::Address& address) {
    return text(address) == families()[0].pod || text(address) == families()[1].pod;
  }
  static bool ends_at_once(Sender sender, const reference::Tuple& tuple) {
    return sender == Sender::uplink ? is_pod(tuple.from) : sender == Sender::stack && !is_pod(tuple.to);
  }
  // Of connections that there are, in either direction; else from anybody to anybody.
  Talk talk(Sender sender) {
    const auto& family = families()[number(2)];
    Talk talk{.ends = {},
              .protocol = number(2) == 0 ? kTcp : kUdp,
              .flags = one_flag(),
              .hops = static_cast<std::uint8_t>(number(10) == 0 ? number(3) : 64),
              .payload = Bytes(number(20) == 0 ? 1400 + number(200) : number(40), 0x42),
              .sequence = static_cast<std::uint32_t>(engine_()),
              .acknowledged = static_cast<std::uint32_t>(engine_())};
    const auto& known = reference_.connections();
    if (!known.empty() && number(3) != 0) {
      auto tuple = any_of(known);
      // On the uplink a pod's name ends a packet at once, and towards a pod any name but the pod's: few say them.
      for (int again = 0; again < 3 && ends_at_once(sender, tuple); ++again) tuple = any_of(known);
      talk.protocol = tuple.protocol;
      talk.ends = {text(tuple.from), tuple.from_port, text(tuple.to), tuple.to_port};
      return talk;
    }
    if (outside_ && sender == Sender::pod && number(2) == 0) return leaving(family, talk);
    const bool inwards = sender != Sender::pod;
    talk.ends = {.from = inwards ? one_of({family.client, family.inside, family.client, family.remote, family.pod,
                                           strange(family)})
                                 : one_of({family.pod, family.pod, family.pod, family.inside, strange(family)}),
                 .from_port = static_cast<std::uint16_t>(40000 + number(3)),
                 .to = inwards ? one_of({family.node, family.node, family.node, family.pod, neighbour(family)})
                               : one_of({family.client, family.node, family.remote, neighbour(family), strange(family),
                                         family.cluster, family.cluster}),
                 .to_port = static_cast<std::uint16_t>(30000 + number(11))};
    return talk;
  }
  // What programs masquerade, for the most part.
  Talk leaving(const Family& family, Talk talk) {
    const bool v4 = family.name == "IPv4";
    if (number(3) == 0) talk.protocol = v4 ? kIcmp : kIcmp6;
    talk.ends = {.from = one_of({family.pod, v4 ? "10.0.0.8" : "fd00::8", v4 ? "10.0.0.5" : "fd00::5"}),
                 .from_port = static_cast<std::uint16_t>((number(8) == 0 ? kStackFirstPort - 2 : 40000) + number(4)),
                 .to = one_of({family.client, family.client, family.client, family.outside, family.node,
                               v4 ? "203.0.113.129" : "2001:db8:113:8000::5", v4 ? "198.18.0.1" : "2001:2::1"}),
                 .to_port = static_cast<std::uint16_t>(440 + number(2))};
    return talk;
  }
  // Echo has one identifier; requests for the most part.
  Bytes sent(const Talk& talk) {
    if (talk.protocol != kIcmp && talk.protocol != kIcmp6) return frame(talk);
    const bool reply = number(3) == 0;
    auto message = icmp(talk.protocol == kIcmp ? (reply ? 0 : 8) : (reply ? 129 : 128)) + talk.payload;
    message[4] = static_cast<std::uint8_t>(talk.ends.from_port >> 8);
    message[5] = static_cast<std::uint8_t>(talk.ends.from_port);
    return with_checksum(wrapped(talk, kIcmp, kIcmp6, message));
  }
  static std::string neighbour(const Family& family) { return family.name == "IPv4" ? "10.0.0.2" : "fd00::4"; }
  std::string strange(const Family& family) {
    return family.name == "IPv4" ? one_of({"127.0.0.1", "0.0.0.0", "224.0.0.5", "10.0.0.3"})
                                 : one_of({"::1", "::", "ff02::5", "fd00::3"});
  }
  std::uint8_t one_flag() {
    static const std::vector<std::uint8_t> kFlags = {kSyn, kSyn,        kSyn, kSyn | kAck, kAck,
                                                     kAck, kFin | kAck, kRst, kSyn | kRst, 0};
    return number(30) == 0 ? static_cast<std::uint8_t>(number(256)) : kFlags[number(kFlags.size())];
  }
  Bytes wrapped(const Talk& talk, std::uint8_t next4, std::uint8_t next6, const Bytes& payload,
                std::uint16_t fragment4 = 0) {
    if (talk.ends.from.find(':') != std::string::npos) {
      return frame(
          Ip6{.from = talk.ends.from, .to = talk.ends.to, .hops = talk.hops, .next = next6, .payload = payload});
    }
    return frame(Ip4{.from = talk.ends.from,
                     .to = talk.ends.to,
                     .ttl = talk.hops,
                     .protocol = next4,
                     .fragment = fragment4,
                     .payload = payload,
                     .id = static_cast<std::uint16_t>(number(3))});
  }

  // About a packet that may have been sent to whom the error comes from.
  Bytes error(Sender sender) {
    auto about = talk(sender);
    about.ends = reversed(about.ends);
    const auto inner = sent(about);
    Bytes quoted(inner.begin() + kEthBytes, inner.end());
    quoted.resize(std::min(quoted.size(), 20 + number(80)));
    auto outer = talk(sender);
    if (number(4) != 0) outer.ends.to = about.ends.from;
    if (number(2) == 0) outer.ends.from = about.ends.to;
    const bool mixed =
        (outer.ends.to.find(':') == std::string::npos) != (outer.ends.from.find(':') == std::string::npos);
    if (mixed) outer.ends = reversed(about.ends);
    const auto type = static_cast<std::uint8_t>(number(13));
    return with_checksum(wrapped(outer, kIcmp, kIcmp6, icmp(type) + quoted));
  }

  Bytes piece(Sender sender) {
    const auto whole = talk(sender);
    const bool v6 = whole.ends.from.find(':') != std::string::npos;
    const auto full = sent(whole);
    const Bytes payload(full.begin() + static_cast<long>(kEthBytes + (v6 ? kIpv6Bytes : kIpv4Bytes)), full.end());
    const auto offset = static_cast<std::uint16_t>(number(2) == 0 ? 0 : 1 + number(3));
    auto header = fragment(whole.protocol, offset, true);
    header[7] = static_cast<std::uint8_t>(number(3));
    return wrapped(whole, whole.protocol, kFragment, v6 ? header + payload : payload,
                   static_cast<std::uint16_t>(offset | 0x2000));
  }

  Bytes other(Sender sender) {
    const auto ends = talk(sender).ends;
    const bool v6 = ends.from.find(':') != std::string::npos;
    switch (number(4)) {
      case 0:
        return v6 ? frame(Ip6{.from = ends.from, .to = ends.to, .next = kHopByHop, .payload = extension(kUdp) + udp()})
                  : with_checksum(
                        frame(Ip4{.from = ends.from, .to = ends.to, .options = {7, 4, 4, 0}, .payload = tcp(30)}));
      case 1:
        return frame(kArp, Bytes(28));
      case 2:
        return v6 ? frame(Ip6{.from = ends.from, .to = ends.to, .next = 132, .payload = udp()})
                  : frame(Ip4{.from = ends.from, .to = ends.to, .protocol = 47, .payload = udp()});
      default:
        return noise(kEthBytes + 40 + number(60));
    }
  }
  Bytes noise(std::size_t length) {
    Bytes bytes(length);
    for (auto& each : bytes) each = static_cast<std::uint8_t>(number(256));
    bytes[12] = number(2) == 0 ? 0x08 : 0x86;
    bytes[13] = bytes[12] == 0x08 ? 0x00 : 0xdd;
    return bytes;
  }
  static void leave_out_checksum(Bytes& bytes) {
    const bool v6 = bytes[12] == 0x86;
    const auto at = kEthBytes + (v6 ? kIpv6Bytes : kIpv4Bytes);
    if (bytes[kEthBytes + (v6 ? 6 : 9)] == kUdp && at + 8 <= bytes.size()) bytes[at + 6] = bytes[at + 7] = 0;
  }
  void damage(Bytes& bytes) {
    for (auto flips = number(4); flips > 0; --flips)
      bytes[number(bytes.size())] = static_cast<std::uint8_t>(number(256));
    if (number(3) == 0) bytes.resize(kEthBytes + 40 + number(bytes.size()));  // a test run takes no shorter ones
  }

  const reference::Node& reference_;
  bool outside_;
  std::mt19937 engine_{20261128};
};

inline int rounds() { return random_packets(kUsual); }

inline void forget(const Program& program) {
  for (const auto* name : {"nk_ct_v1", "nk_fragment_v2"}) {
    for (nk_tuple key{}; bpf_map_get_next_key(program.map(name), nullptr, &key) == 0;) {
      ASSERT_EQ(bpf_map_delete_elem(program.map(name), &key), 0);
    }
  }
}

// The tables, entry by entry.
inline void expect_same(const ServiceNode& node, const reference::Node& reference) {
  ASSERT_EQ(node.connections(), reference.connections().size());
  for (const auto& [tuple, foreseen] : reference.connections()) {
    const auto known =
        node.connection({text(tuple.from), tuple.from_port, text(tuple.to), tuple.to_port}, tuple.protocol);
    ASSERT_TRUE(known);
    const auto& to = foreseen.to;
    const auto expected = tuple_of({text(to.from), to.from_port, text(to.to), to.to_port}, to.protocol);
    EXPECT_EQ(std::memcmp(&known->to, &expected, sizeof(expected)), 0);
    EXPECT_EQ(known->reply, foreseen.reply ? 1 : 0);
    EXPECT_EQ(known->seen, foreseen.seen);
    EXPECT_EQ(known->use, foreseen.masked ? NK_CT_MASQUERADE : NK_CT_SERVICE);
  }
}

inline std::string hex(const Bytes& bytes) {
  std::string text;
  for (const auto byte : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 0xf];
  }
  return text;
}

}  // namespace netkite::bpf_tests
