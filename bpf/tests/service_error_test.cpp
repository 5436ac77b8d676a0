// SPDX-License-Identifier: Apache-2.0
// ICMP errors about translated packets, and packets that come in pieces.
#include "bpf/tests/service_node.hpp"

namespace netkite::bpf_tests {
namespace {

constexpr std::uint8_t kNoPort4 = 3, kNoPort6 = 1;

Bytes behind_ethernet(const Bytes& frame) { return {frame.begin() + kEthBytes, frame.end()}; }

// What a router or host says of `about`, of which it quotes so many bytes behind the IP header.
Bytes error(const std::string& from, const std::string& to, const Bytes& about, std::size_t quoted,
            std::uint8_t hops = 64) {
  const bool v6 = from.find(':') != std::string::npos;
  auto quote = behind_ethernet(about);
  quote.resize(std::min(quote.size(), (v6 ? kIpv6Bytes : kIpv4Bytes) + quoted));
  const auto message = icmp(v6 ? kNoPort6 : kNoPort4) + quote;
  if (v6) return with_checksum(frame(Ip6{.from = from, .to = to, .hops = hops, .next = kIcmp6, .payload = message}));
  return with_checksum(frame(Ip4{.from = from, .to = to, .ttl = hops, .protocol = kIcmp, .payload = message}));
}

class Errors : public ServicePath {
 protected:
  void expect_error(const Program& program, const Bytes& comes, const Bytes& leaves) const {
    const auto outcome = program.run(comes);
    ASSERT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.verdict, kRedirect);
    EXPECT_EQ(outcome.frame, leaves);
    const auto summed = program.run_summed(comes);
    if (summed.status == -EINVAL) return;
    EXPECT_EQ(summed.status, 0) << "the sum over the packet is wrong now";
    EXPECT_EQ(summed.frame, leaves);
  }
  static std::string router(const Flavour& flavour) {
    return flavour.family.name == "IPv4" ? "192.0.2.33" : "2001:db8::33";
  }
};

// The packet that left, as the sender of the error has seen it: without a hop less, or its checksum would differ from
// what the client's own packet has.
Bytes as_seen(const Talk& talk, const Ends& ends) {
  auto seen = talk;
  seen.ends = ends;
  return frame(seen);
}

TEST_F(Errors, AboutWhatABackendGotReachTheClient) {
  each([&](const Flavour& flavour) {
    const auto& family = flavour.family;
    for (const std::size_t quoted : {8U, 200U}) {
      auto ask = flavour.asking(family.client, 40000, 2);
      const auto seen = ends_of(netdev_.run(frame(ask)).frame);
      const auto about = as_seen(ask, seen);
      auto original = frame(ask);
      // The transport's checksum is only put right where it is quoted.
      if (flavour.protocol == kTcp && quoted == 8) {
        const auto at = original.size() - 20 + 16;
        std::copy_n(about.begin() + static_cast<long>(at), 2, original.begin() + static_cast<long>(at));
      }
      for (const auto& sender : {router(flavour), family.remote}) {
        expect_error(netdev_, error(sender, family.node, about, quoted),
                     error(family.node, family.client, original, quoted, 63));
      }
    }
  });
}

TEST_F(Errors, AboutAnswersReachTheBackend) {
  each([&](const Flavour& flavour) {
    const auto& family = flavour.family;
    for (const auto set : {1U, 2U}) {
      const auto ask = flavour.asking(family.client, 40000, set);
      const auto seen = ends_of(netdev_.run(frame(ask)).frame);
      const auto answer = flavour.answer(seen);
      const auto about = as_seen(answer, reversed(ask.ends));
      const auto backend = set == 1 ? family.pod : family.remote;
      const auto from_router = set == 1 ? router(flavour) : family.node;
      const auto from_client = set == 1 ? family.client : family.node;
      expect_error(netdev_, error(router(flavour), family.node, about, 200),
                   error(from_router, backend, frame(answer), 200, 63));
      expect_error(netdev_, error(family.client, family.node, about, 200),
                   error(from_client, backend, frame(answer), 200, 63));
    }
  });
}

TEST_F(Errors, OfAPodOfThisNodeReachTheClient) {
  each([&](const Flavour& flavour) {
    const auto& family = flavour.family;
    const auto ask = flavour.asking(family.client, 40000, 1);
    const auto seen = ends_of(netdev_.run(frame(ask)).frame);
    expect_error(pod_, error(family.pod, family.client, as_seen(ask, seen), 200),
                 error(family.node, family.client, frame(ask), 200, 63));
  });
}

TEST_F(Errors, AboutADatagramWithoutAChecksum) {
  const Flavour flavour{.family = families().front(), .protocol = kUdp};
  const auto without = [](Bytes frame) {
    frame[kEthBytes + kIpv4Bytes + 6] = frame[kEthBytes + kIpv4Bytes + 7] = 0;
    return frame;
  };
  const auto ask = flavour.asking(flavour.family.client, 40000, 2);
  const auto seen = ends_of(netdev_.run(without(frame(ask))).frame);
  expect_error(netdev_, error(router(flavour), flavour.family.node, without(as_seen(ask, seen)), 8),
               error(flavour.family.node, flavour.family.client, without(frame(ask)), 8, 63));
}

TEST_F(Errors, AboutAnythingElseAreUntouched) {
  each([&](const Flavour& flavour) {
    const auto& family = flavour.family;
    const auto ask = flavour.asking(family.client, 40000, 2);
    const auto seen = ends_of(netdev_.run(frame(ask)).frame);
    const auto before = node_.connections();
    auto other = seen;
    ++other.from_port;
    check(netdev_, Case{"another connection", error(router(flavour), family.node, as_seen(ask, other), 8), kNext});
    check(netdev_,
          Case{"of which it quotes too little", error(router(flavour), family.node, as_seen(ask, seen), 3), kNext});
    auto echo = error(router(flavour), family.node, as_seen(ask, seen), 8);
    echo[kEthBytes + (family.name == "IPv4" ? kIpv4Bytes : kIpv6Bytes)] = family.name == "IPv4" ? 8 : 128;
    check(netdev_, Case{"no error", echo, kNext});
    check_once(netdev_, Case{"the last hop", error(router(flavour), family.node, as_seen(ask, seen), 8, 1), kDrop,
                             NK_DROP_HOP_LIMIT});
    EXPECT_EQ(node_.connections(), before);
  });
}

// A datagram of UDP in two pieces, the first with 16 bytes; with translated ends and as many hops.
struct Pieces {
  Bytes first, second;
};
Pieces pieces_of(const Talk& talk, std::uint16_t id) {
  const bool v6 = talk.ends.from.find(':') != std::string::npos;
  const auto whole = frame(talk);
  const Bytes data(whole.begin() + static_cast<long>(kEthBytes + (v6 ? kIpv6Bytes : kIpv4Bytes)), whole.end());
  const Bytes front(data.begin(), data.begin() + 16), rest(data.begin() + 16, data.end());
  const auto piece = [&](const Bytes& part, std::uint16_t offset, bool more) {
    if (v6) {
      auto header = fragment(kUdp, offset, more);
      header[7] = static_cast<std::uint8_t>(id);
      return frame(Ip6{
          .from = talk.ends.from, .to = talk.ends.to, .hops = talk.hops, .next = kFragment, .payload = header + part});
    }
    return frame(Ip4{.from = talk.ends.from,
                     .to = talk.ends.to,
                     .ttl = talk.hops,
                     .protocol = kUdp,
                     .fragment = static_cast<std::uint16_t>(offset | (more ? 0x2000 : 0)),
                     .payload = part,
                     .id = id});
  };
  return {.first = piece(front, 0, true), .second = piece(rest, 2, false)};
}

// What has been remembered of pieces gets older by so many units of nk_fragment.time.
void age_pieces(const Program& program, std::uint32_t by) {
  const int map = program.map("nk_fragment_v2");
  // All keys first: what is written anew may come again behind the others.
  std::vector<nk_fragment_key> keys;
  nk_fragment_key key{};
  while (bpf_map_get_next_key(map, keys.empty() ? nullptr : &keys.back(), &key) == 0) keys.push_back(key);
  for (const auto& each : keys) {
    nk_fragment ports{};
    ASSERT_EQ(bpf_map_lookup_elem(map, &each, &ports), 0);
    ports.time -= by;
    put(program, "nk_fragment_v2", each, ports);
  }
}

Bytes dont_cut(const Bytes& answer) {
  const Bytes message(answer.begin() + kEthBytes + kIpv4Bytes, answer.end());
  const auto ends = ends_of(answer);
  return frame(Ip4{.from = ends.from, .to = ends.to, .protocol = kIcmp, .fragment = 0x4000, .payload = message});
}

TEST_F(Errors, PiecesFollowTheirFirstOne) {
  for (const auto& family : families()) {
    SCOPED_TRACE(family.name);
    const Flavour flavour{.family = family, .protocol = kUdp};
    for (const auto set : {1U, 2U}) {
      auto ask = flavour.asking(family.client, 40000, set);
      ask.payload = Bytes(1000, 0x3c);
      const auto id = static_cast<std::uint16_t>(set);
      const auto pieces = pieces_of(ask, id);
      check_once(netdev_, Case{"a later one that comes first", pieces.second, kNext});
      const auto first = netdev_.run(pieces.first), summed = netdev_.run_summed(pieces.first);
      ASSERT_EQ(first.verdict, kRedirect);
      auto ends = ends_of(frame(ask));
      ends = set == 1 ? Ends{family.client, 40000, family.pod, kBackendPort} : ends;
      if (set == 2) {
        const auto known = node_.connection(ask.ends, kUdp);
        ASSERT_TRUE(known);
        ends = {family.node, big_endian(known->to.source_port), family.remote, kBackendPort};
      }
      const auto expected = pieces_of(with_ends(ask, ends), id);
      EXPECT_EQ(first.frame, expected.first);
      EXPECT_EQ(netdev_.run(pieces.second).frame, expected.second);
      if (summed.status != -EINVAL) {
        EXPECT_EQ(summed.status, 0);
        EXPECT_EQ(netdev_.run_summed(pieces.second).status, 0);
      }
      check_once(netdev_, Case{"of another datagram", pieces_of(ask, 99).second, kNext});
      age_pieces(netdev_, 31);
      check_once(netdev_, Case{"of one with the same number, later", pieces.second, kNext});

      auto answer = flavour.answer(ends);
      answer.payload = Bytes(1000, 0x3d);
      const auto& from = set == 1 ? pod_ : netdev_;
      const auto back = pieces_of(answer, 9), expected_back = pieces_of(with_ends(answer, reversed(ask.ends)), 9);
      EXPECT_EQ(from.run(back.first).frame, expected_back.first);
      EXPECT_EQ(from.run(back.second).frame, expected_back.second);
    }
    // Nobody serves: the error quotes the first one, and is not repeated for the others.
    const auto first = pieces_of(flavour.asking(family.client, 1, 6), 1).first;
    const bool v6 = family.name == "IPv6";
    auto answer = error(family.node, family.client, first, v6 ? 16 : 8);
    answer[kEthBytes + (v6 ? kIpv6Bytes : kIpv4Bytes) + 1] = v6 ? 4 : 3;
    if (!v6) answer = dont_cut(answer);
    check_once(netdev_, Case{"", first, kRedirect, NK_DROP_NO_BACKEND, with_checksum(answer)});
  }
}

}  // namespace
}  // namespace netkite::bpf_tests
