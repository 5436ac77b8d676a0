// SPDX-License-Identifier: Apache-2.0
// Masquerade of ICMP: echo, whose identifier is its port, and errors about what pods send. Packets in pieces, too.
#include "bpf/tests/masquerade_node.hpp"

namespace netkite::bpf_tests {
namespace {

constexpr std::uint16_t kServerPort = 443;

bool is_v4(const std::string& text) { return text.find(':') == std::string::npos; }

Bytes icmp_frame(const std::string& from, const std::string& to, std::uint8_t hops, const Bytes& message) {
  if (is_v4(from)) return with_checksum(frame(Ip4{from, to, hops, kIcmp, {}, 0, message}));
  return with_checksum(frame(Ip6{.from = from, .to = to, .hops = hops, .next = kIcmp6, .payload = message}));
}

struct Echo {
  std::string from, to;
  std::uint16_t id = 0;
  bool reply = false;
  std::uint8_t hops = 64;
};

Bytes frame(const Echo& echo) {
  auto message = icmp(is_v4(echo.from) ? (echo.reply ? 0 : 8) : (echo.reply ? 129 : 128));
  message[4] = static_cast<std::uint8_t>(echo.id >> 8);
  message[5] = static_cast<std::uint8_t>(echo.id);
  message[7] = 9;
  return icmp_frame(echo.from, echo.to, echo.hops, message + Bytes(57, 0x77));
}

std::uint16_t id_of(const Bytes& frame) {
  const auto at = kEthBytes + (frame.at(kEthBytes) >> 4 == 4 ? kIpv4Bytes : kIpv6Bytes) + 4;
  return static_cast<std::uint16_t>(frame.at(at) << 8 | frame.at(at + 1));
}

// What a router says of `about`, of which it quotes so many bytes behind the IP header.
Bytes error(const std::string& from, const std::string& to, const Bytes& about, std::size_t quoted,
            std::uint8_t hops = 64) {
  Bytes quote(about.begin() + kEthBytes, about.end());
  quote.resize(std::min(quote.size(), (is_v4(from) ? kIpv4Bytes : kIpv6Bytes) + quoted));
  return icmp_frame(from, to, hops, icmp(is_v4(from) ? 11 : 3) + quote);
}

class MasqueradeIcmp : public Masquerade {
 protected:
  static void expect(const Program& program, const Bytes& comes, const Bytes& leaves) {
    const auto outcome = program.run(comes);
    ASSERT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.verdict, kRedirect);
    EXPECT_EQ(outcome.frame, leaves);
    const auto summed = program.run_summed(comes);
    if (summed.status == -EINVAL) return;  // an older kernel cannot
    EXPECT_EQ(summed.status, 0) << "the sum over the packet is wrong now";
    EXPECT_EQ(summed.frame, leaves);
  }
  static std::string router(const Family& family) { return family.name == "IPv4" ? "192.0.2.33" : "2001:db8::33"; }
};

TEST_F(MasqueradeIcmp, EchoThereAndBackWithTheSameIdentifier) {
  for (const auto& family : families()) {
    SCOPED_TRACE(family.name);
    expect(pod_, frame(Echo{family.pod, family.client, 77}), frame(Echo{family.node, family.client, 77, false, 63}));
    expect(netdev_, frame(Echo{family.client, family.node, 77, true}),
           frame(Echo{family.client, family.pod, 77, true, 63}));
  }
  EXPECT_EQ(node_.connections(), 4U);
}

TEST_F(MasqueradeIcmp, TwoPodsWithTheSameIdentifier) {
  for (const auto& family : families()) {
    SCOPED_TRACE(family.name);
    const auto second = second_pod({.family = family});
    expect(pod_, frame(Echo{family.pod, family.client, 77}), frame(Echo{family.node, family.client, 77, false, 63}));
    const auto seen = id_of(pod_.run(frame(Echo{second, family.client, 77})).frame);
    EXPECT_GE(seen, kFirstPort);
    expect(pod_, frame(Echo{second, family.client, 77}), frame(Echo{family.node, family.client, seen, false, 63}));
    expect(netdev_, frame(Echo{family.client, family.node, seen, true}),
           frame(Echo{family.client, second, 77, true, 63}));
  }
}

TEST_F(MasqueradeIcmp, WhatNoPodHasAskedForIsUntouched) {
  for (const auto& family : families()) {
    SCOPED_TRACE(family.name);
    check(pod_, Case{"an answer of a pod", frame(Echo{family.pod, family.client, 5, true}), kPass});
    check(netdev_, Case{"to the node", frame(Echo{family.client, family.node, 5}), kNext});
    check(netdev_, Case{"the node's own answer", frame(Echo{family.client, family.node, 5, true}), kNext});
    auto other = frame(Echo{family.pod, family.client, 5});
    other[kEthBytes + (is_v4(family.pod) ? kIpv4Bytes : kIpv6Bytes)] = 13;
    check(pod_, Case{"another message", with_checksum(other), kPass});
  }
  EXPECT_EQ(node_.connections(), 0U);
}

TEST_F(MasqueradeIcmp, ErrorsAboutEchoReachThePod) {
  for (const auto& family : families()) {
    SCOPED_TRACE(family.name);
    const auto second = second_pod({.family = family});
    std::ignore = pod_.run(frame(Echo{family.pod, family.client, 77}));
    const auto seen = id_of(pod_.run(frame(Echo{second, family.client, 77})).frame);
    for (const std::size_t quoted : {8U, 200U}) {
      expect(netdev_, error(router(family), family.node, frame(Echo{family.node, family.client, seen}), quoted),
             error(router(family), second, frame(Echo{second, family.client, 77}), quoted, 63));
    }
    check(netdev_,
          Case{"about an answer",
               error(router(family), family.node, frame(Echo{family.node, family.client, seen, true}), 8), kNext});
  }
}

TEST_F(MasqueradeIcmp, ErrorsAboutConnectionsReachThePod) {
  each([&](const Flavour& flavour) {
    const auto& family = flavour.family;
    const auto first = leaving(flavour);
    auto talk = leaving(flavour, 40000, second_pod(flavour));
    std::ignore = pod_.run(bpf_tests::frame(first));
    auto seen = talk;
    seen.ends = ends_of(pod_.run(bpf_tests::frame(talk)).frame);
    for (const auto& sender : {router(family), family.client}) {
      expect(netdev_, error(sender, family.node, bpf_tests::frame(seen), 200),
             error(sender, talk.ends.from, bpf_tests::frame(talk), 200, 63));
    }
  });
}

TEST_F(MasqueradeIcmp, APodsErrorsAboutItsAnswersReachTheServer) {
  each([&](const Flavour& flavour) {
    const auto& family = flavour.family;
    const auto talk = leaving(flavour);
    const auto seen = masked(flavour, talk.ends);
    expect_becomes(pod_, talk, seen);
    auto answer = flavour.answer(talk.ends), outside = flavour.answer(seen);
    expect(pod_, error(family.pod, family.client, bpf_tests::frame(answer), 200),
           error(family.node, family.client, bpf_tests::frame(outside), 200, 63));
    // Somebody else's connection is nothing that a pod may speak about.
    const auto other = is_v4(family.pod) ? "10.0.0.3" : "fd00::3";
    nk_connection stranger = *node_.connection(talk.ends, flavour.protocol);
    auto ends = talk.ends;
    ends.from = other;
    put(pod_, "nk_ct_v1", tuple_of(ends, flavour.protocol), stranger);
    check(pod_,
          Case{"by another pod", error(family.pod, family.client, bpf_tests::frame(flavour.answer(ends)), 200), kPass});
  });
}

// Pieces of one datagram, and of one answer.
TEST_F(MasqueradeIcmp, PiecesFollowTheirFirstOne) {
  const auto& family = families()[0];
  const auto whole = bpf_tests::frame(
      Talk{.ends = {family.pod, 40000, family.client, kServerPort}, .protocol = kUdp, .payload = Bytes(64, 3)});
  const Bytes datagram(whole.begin() + kEthBytes + kIpv4Bytes, whole.end());
  const auto piece = [&](std::size_t from, std::size_t to, bool more) {
    return bpf_tests::frame(
        Ip4{.from = family.pod,
            .to = family.client,
            .protocol = kUdp,
            .fragment = static_cast<std::uint16_t>(from / 8 | (more ? 0x2000 : 0)),
            .payload = Bytes(datagram.begin() + static_cast<long>(from), datagram.begin() + static_cast<long>(to)),
            .id = 99});
  };
  check_once(pod_, Case{"a later one first", piece(40, 72, false), kPass});
  for (const auto& part : {piece(0, 40, true), piece(40, 72, false)}) {
    const auto outcome = pod_.run(part);
    EXPECT_EQ(outcome.verdict, kRedirect);
    EXPECT_EQ(ends_of(outcome.frame).from, family.node);
  }
  EXPECT_EQ(node_.connections(), 2U);
}

}  // namespace
}  // namespace netkite::bpf_tests
