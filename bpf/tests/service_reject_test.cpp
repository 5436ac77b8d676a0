// SPDX-License-Identifier: Apache-2.0
// What a client hears when nobody serves it: a reset, an ICMP error, or nothing.
#include "bpf/tests/service_node.hpp"

namespace netkite::bpf_tests {
namespace {

// In the name of whom `talk` has asked, to who asked, about the header and `quoted` bytes behind it.
Bytes error(const Talk& talk, std::uint8_t type, std::uint8_t code, std::uint16_t mtu = 0) {
  const auto asked = frame(talk);
  const bool v6 = talk.ends.from.find(':') != std::string::npos;
  const std::size_t header = v6 ? kIpv6Bytes : kIpv4Bytes, quoted = talk.protocol == kTcp ? 20 : 8;
  auto message = icmp(type);
  message[1] = code;
  message[6] = static_cast<std::uint8_t>(mtu >> 8);
  message[7] = static_cast<std::uint8_t>(mtu);
  message = message + Bytes(asked.begin() + kEthBytes, asked.begin() + static_cast<long>(kEthBytes + header + quoted));
  if (v6)
    return with_checksum(frame(Ip6{.from = talk.ends.to, .to = talk.ends.from, .next = kIcmp6, .payload = message}));
  return with_checksum(frame(
      Ip4{.from = talk.ends.to, .to = talk.ends.from, .protocol = kIcmp, .fragment = 0x4000, .payload = message}));
}

void expect_answered(const Program& program, const Talk& talk, std::uint32_t reason, const Bytes& answer) {
  check_once(program, Case{"", frame(talk), kRedirect, reason, answer});
}

class Reject : public ServicePath {
 protected:
  static Bytes reset(const Talk& talk, std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledged) {
    return frame(Talk{
        .ends = reversed(talk.ends), .flags = flags, .hops = 64, .sequence = sequence, .acknowledged = acknowledged});
  }
};

TEST_F(Reject, WhoAsksForAServiceThatNobodyServes) {
  each([&](const Flavour& flavour) {
    auto ask = flavour.asking(flavour.family.client, 40000, 6);
    if (flavour.protocol == kUdp) {
      const bool v6 = flavour.family.name == "IPv6";
      expect_answered(netdev_, ask, NK_DROP_NO_BACKEND, error(ask, v6 ? 1 : 3, v6 ? 4 : 3));
      ask.payload = {};
      expect_answered(netdev_, ask, NK_DROP_NO_BACKEND, error(ask, v6 ? 1 : 3, v6 ? 4 : 3));
      return;
    }
    ask.sequence = 0xfffffff0;
    expect_answered(netdev_, ask, NK_DROP_NO_BACKEND, reset(ask, kRst | kAck, 0, 0xfffffff1));
    ask.payload = Bytes(100, 1);
    expect_answered(netdev_, ask, NK_DROP_NO_BACKEND, reset(ask, kRst | kAck, 0, 85));
    ask.ends.from = flavour.family.inside;
    expect_answered(netdev_, ask, NK_DROP_NO_BACKEND, reset(ask, kRst | kAck, 0, 85));
  });
}

TEST_F(Reject, ABackendThatHasGoneServesNobody) {
  const std::uint32_t gone = 1;
  ASSERT_EQ(bpf_map_delete_elem(netdev_.map("nk_backend_v1"), &gone), 0);
  const Flavour flavour{.family = families().front(), .protocol = kTcp};
  const auto ask = flavour.asking(flavour.family.client, 40000, 1);
  expect_answered(netdev_, ask, NK_DROP_NO_BACKEND, reset(ask, kRst | kAck, 0, 1));
}

TEST_F(Reject, AmidAConnectionThatIsNotKnown) {
  for (const auto& family : families()) {
    const Flavour flavour{.family = family, .protocol = kTcp};
    auto ask = flavour.asking(family.client, 40000, 1);
    ask.flags = kAck;
    ask.acknowledged = 0x12345678;
    ask.payload = Bytes(7, 1);
    expect_answered(netdev_, ask, NK_DROP_NO_CONNECTION, reset(ask, kRst, 0x12345678, 0));
    ask.flags = kFin;
    ask.sequence = 100;
    expect_answered(netdev_, ask, NK_DROP_NO_CONNECTION, reset(ask, kRst | kAck, 0, 108));
    ask.flags = kRst;
    expect_dropped(netdev_, ask, NK_DROP_NO_CONNECTION);
    ask.flags = kSyn | kRst;
    expect_dropped(netdev_, ask, NK_DROP_NO_CONNECTION);
  }
  EXPECT_EQ(node_.connections(), 0U);
}

TEST_F(Reject, ALocalServiceWithoutBackendsIsSilent) {
  each([&](const Flavour& flavour) {
    expect_dropped(netdev_, flavour.asking(flavour.family.client, 40000, 7), NK_DROP_NO_BACKEND);
  });
}

TEST_F(Reject, WhatARouterAnswers) {
  each([&](const Flavour& flavour) {
    const bool v6 = flavour.family.name == "IPv6";
    auto last = flavour.asking(flavour.family.client, 40000, 1);
    last.hops = 1;
    expect_answered(netdev_, last, NK_DROP_HOP_LIMIT, error(last, v6 ? 3 : 11, 0));
    auto big = flavour.asking(flavour.family.client, 40001, 2);
    big.payload = Bytes(1500);
    expect_answered(netdev_, big, NK_DROP_TOO_BIG, error(big, v6 ? 2 : 3, v6 ? 0 : 4, 1500));
  });
}

TEST_F(Reject, OptionsOfTheHeaderStayWithAReset) {
  const auto& family = families().front();
  const Bytes options = {1, 1, 1, 0};
  const auto segment = [&](const Ends& ends, std::uint8_t flags, std::uint32_t acknowledged) {
    const auto plain = frame(Talk{.ends = ends, .flags = flags, .acknowledged = acknowledged});
    return with_checksum(frame(Ip4{.from = ends.from,
                                   .to = ends.to,
                                   .options = options,
                                   .payload = Bytes(plain.begin() + kEthBytes + kIpv4Bytes, plain.end())}));
  };
  const Ends ends{.from = family.client, .from_port = 40000, .to = family.node, .to_port = ServiceNode::port(6)};
  check_once(netdev_,
             Case{"", segment(ends, kSyn, 0), kRedirect, NK_DROP_NO_BACKEND, segment(reversed(ends), kRst | kAck, 1)});
}

}  // namespace
}  // namespace netkite::bpf_tests
