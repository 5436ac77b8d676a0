// SPDX-License-Identifier: Apache-2.0
// Connections that XDP passes on: the same bytes as tcx, and nothing but what tcx has served before.
#include <ctime>

#include "bpf/tests/express_node.hpp"

namespace netkite::bpf_tests {
namespace {

class Express : public testing::Test {
 protected:
  static void SetUpTestSuite() { make_uplink(); }

  ExpressNode node_;

  // Both directions of a connection, in their middle.
  struct Connection {
    Talk ask, answer;
  };
  static Talk middle(Talk talk) {
    talk.flags = kAck;
    talk.payload = Bytes(101, 0x33);
    return talk;
  }
  Connection established(const Flavour& flavour, std::uint32_t set = 2, std::uint16_t port = 40000) const {
    auto ask = flavour.asking(flavour.family.client, port, set);
    const auto seen = ends_of(node_.at_tcx(on_uplink(frame(ask))).frame);
    const auto answer = flavour.answer(seen);
    EXPECT_EQ(node_.at_tcx(on_uplink(frame(answer))).verdict, kRedirect);
    ask = middle(ask);
    EXPECT_EQ(node_.at_tcx(on_uplink(frame(ask))).verdict, kRedirect);
    return {ask, middle(answer)};
  }
  // With the bytes that tcx makes of it.
  void expect_passed_on(const Talk& talk, const MacBytes& next) const {
    const auto packet = on_uplink(frame(talk));
    const auto slower = node_.at_tcx(packet);
    ASSERT_EQ(slower.verdict, kRedirect);
    ASSERT_NE(slower.frame, packet);
    const auto outcome = node_.at_xdp(packet);
    EXPECT_EQ(outcome.verdict, kXdpRedirect);
    EXPECT_EQ(outcome.frame, with_macs(slower.frame, next, kUplinkMac));
  }
  void expect_left_to_tcx(const Bytes& packet) const {
    const auto outcome = node_.at_xdp(packet);
    EXPECT_EQ(outcome.verdict, kXdpPass);
    EXPECT_EQ(outcome.frame, packet);
  }
  void expect_left_to_tcx(const Talk& talk) const { expect_left_to_tcx(on_uplink(frame(talk))); }

  template <typename Change>
  void change(const Talk& talk, const Change& how) const {
    const auto key = tuple_of(talk.ends, talk.protocol);
    auto value = node_.connection(talk.ends, talk.protocol).value();
    how(value);
    put(node_.xdp, "nk_ct_v1", key, value);
  }
};

TEST_F(Express, BothDirectionsOfAConnectionWithAPodOfAnotherNode) {
  each([&](const Flavour& flavour) {
    const auto connection = established(flavour);
    for (int i = 0; i < 3; ++i) {
      expect_passed_on(connection.ask, kNodeMac);
      expect_passed_on(connection.answer, kRouterMac);
    }
  });
}

TEST_F(Express, WithSomebodyOutside) {
  each([&](const Flavour& flavour) {
    const auto connection = established(flavour, 3);
    expect_passed_on(connection.ask, kRouterMac);
    expect_passed_on(connection.answer, kRouterMac);
  });
}

// Whatever the routes to the client say: no answer goes by another uplink than the question.
TEST_F(Express, BackByTheUplinkThatTheClientCameBy) {
  const auto connection = established({.family = families()[0]});
  expect_passed_on(connection.answer, kRouterMac);
  change(connection.answer, [](nk_connection& value) { value.ifindex = kDevice; });
  expect_left_to_tcx(connection.answer);
  change(connection.answer, [](nk_connection& value) { value.ifindex = kUplink; });
  expect_passed_on(connection.answer, kRouterMac);
}

TEST_F(Express, WhatBeginsOrEndsIsTcxs) {
  for (const auto& family : families()) {
    const auto connection = established({.family = family});
    for (const auto flags : {kSyn, kFin, kRst}) {
      for (auto talk : {connection.ask, connection.answer}) {
        talk.flags = static_cast<std::uint8_t>(flags | kAck);
        expect_left_to_tcx(talk);
      }
    }
    auto talk = connection.ask;
    talk.flags = 0;
    expect_left_to_tcx(talk);
  }
  each([&](const Flavour& flavour) { expect_left_to_tcx(flavour.asking(flavour.family.client, 40001, 2)); });
}

TEST_F(Express, NothingBeforeTcxHasServedTheDirection) {
  each([&](const Flavour& flavour) {
    auto ask = flavour.asking(flavour.family.client, 40000, 2);
    const auto seen = ends_of(node_.at_tcx(on_uplink(frame(ask))).frame);
    if (flavour.protocol == kTcp) expect_left_to_tcx(middle(ask));
    expect_left_to_tcx(middle(flavour.answer(seen)));
  });
}

TEST_F(Express, OnceInAWhileTcxSeesAPacket) {
  each([&](const Flavour& flavour) {
    const auto connection = established(flavour);
    for (const auto& talk : {connection.ask, connection.answer}) {
      change(talk, [](nk_connection& value) { value.tick ^= 0x40; });
      expect_left_to_tcx(talk);
      EXPECT_EQ(node_.at_tcx(on_uplink(frame(talk))).verdict, kRedirect);
      EXPECT_EQ(node_.at_xdp(on_uplink(frame(talk))).verdict, kXdpRedirect);
      change(talk, [](nk_connection& value) { value.tick &= NK_CT_TICK; });
      expect_left_to_tcx(talk);
    }
  });
}

TEST_F(Express, ASilentConnectionGetsItsTimeAnew) {
  each([&](const Flavour& flavour) {
    const auto connection = established(flavour);
    const auto time = [&] { return node_.connection(connection.ask.ends, flavour.protocol)->time_ns; };
    constexpr std::uint64_t kSecond = 1'000'000'000;
    const auto now = time();
    change(connection.ask, [](nk_connection& value) { value.time_ns -= 5 * kSecond; });
    EXPECT_EQ(node_.at_xdp(on_uplink(frame(connection.ask))).verdict, kXdpRedirect);
    EXPECT_GE(time(), now);
    // Longer, and its tick may have come round.
    change(connection.ask, [](nk_connection& value) { value.time_ns -= 9 * kSecond; });
    expect_left_to_tcx(connection.ask);
  });
}

TEST_F(Express, PodsOfThisNodeAndThoseOfTheOverlayAreTcxs) {
  const ExpressNode node(kExpressOverlay);
  each([&](const Flavour& flavour) {
    for (const auto set : {1U, 4U}) {
      const auto ask = flavour.asking(flavour.family.client, 40000, set);
      for (const auto& talk : {ask, middle(ask), middle(ask)}) {
        EXPECT_EQ(node.at_tcx(on_uplink(frame(talk))).verdict, kRedirect);
        const auto outcome = node.at_xdp(on_uplink(frame(middle(talk))));
        EXPECT_EQ(outcome.verdict, kXdpPass);
      }
    }
    // In the name of a pod of the overlay, on the uplink: never. The tunnel's ends are IPv4.
    if (flavour.family.name == "IPv6") return;
    const auto ask = flavour.asking(flavour.family.client, 40001, 4);
    const auto wrapped = node.at_tcx(on_uplink(frame(ask))).frame;
    const auto seen = ends_of({wrapped.begin() + 50, wrapped.end()});
    const auto false_answer = on_uplink(frame(middle(flavour.answer(seen))));
    EXPECT_EQ(node.at_tcx(false_answer).verdict, kDrop);
    EXPECT_EQ(node.at_xdp(false_answer).verdict, kXdpPass);
  });
}

TEST_F(Express, ADatagramWhoseBackendHasGoneIsTcxs) {
  for (const auto& family : families()) {
    const auto connection = established({.family = family, .protocol = kUdp});
    const auto backend = node_.connection(connection.ask.ends, kUdp)->backend;
    ASSERT_EQ(bpf_map_delete_elem(node_.xdp.map("nk_backend_v1"), &backend), 0);
    expect_left_to_tcx(connection.ask);
    EXPECT_EQ(node_.at_xdp(on_uplink(frame(connection.answer))).verdict, kXdpRedirect);
  }
}

TEST_F(Express, UnusualPacketsAreTcxs) {
  each([&](const Flavour& flavour) {
    const auto talk = established(flavour).ask;
    auto last = talk;
    last.hops = 1;
    expect_left_to_tcx(last);
    auto big = talk;
    big.payload = Bytes(1500, 1);
    expect_left_to_tcx(big);
    const auto packet = on_uplink(frame(talk));
    expect_left_to_tcx(tagged(packet, kVlan));
    expect_left_to_tcx(cut(packet, packet.size() - 1));
    expect_left_to_tcx(with_macs(packet, kNodeMac, kRouterMac));
    auto other = packet;
    if (flavour.family.name == "IPv4") {
      other[kEthBytes + 6] = 0x20;  // more pieces follow
      expect_left_to_tcx(other);
      other = packet;
      other[kEthBytes] = 0x46;
    } else {
      other[kEthBytes + 6] = kHopByHop;
    }
    expect_left_to_tcx(other);
    EXPECT_EQ(node_.at_xdp(packet).verdict, kXdpRedirect);
  });
}

TEST_F(Express, CutShortAnywhere) {
  each([&](const Flavour& flavour) {
    const auto packet = on_uplink(frame(established(flavour).ask));
    for (auto length = kEthBytes; length < packet.size(); ++length) expect_left_to_tcx(cut(packet, length));
  });
}

// Two bytes more than the packet says: what a network card fills short frames up with.
TEST_F(Express, PaddingStays) {
  each([&](const Flavour& flavour) {
    const auto talk = established(flavour).ask;
    const auto packet = on_uplink(frame(talk));
    const auto plain = node_.at_xdp(packet), padded = node_.at_xdp(packet + Bytes{0, 0});
    EXPECT_EQ(padded.verdict, kXdpRedirect);
    EXPECT_EQ(padded.frame, plain.frame + (Bytes{0, 0}));
  });
}

TEST_F(Express, ChecksumsThatADeviceWouldCompleteAreTcxs) {
  each([&](const Flavour& flavour) {
    const auto talk = established(flavour).ask;
    auto packet = on_uplink(frame(talk));
    const bool v4 = flavour.family.name == "IPv4";
    const auto header = kEthBytes + (v4 ? kIpv4Bytes : kIpv6Bytes), addresses = kEthBytes + (v4 ? 12 : 8);
    std::uint32_t sum = flavour.protocol + static_cast<std::uint32_t>(packet.size() - header);
    for (auto at = addresses; at < header; at += 2) sum += packet[at] * 256U + packet[at + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    const auto check = header + (flavour.protocol == kTcp ? 16 : 6);
    packet[check] = static_cast<std::uint8_t>(sum >> 8);
    packet[check + 1] = static_cast<std::uint8_t>(sum);
    expect_left_to_tcx(packet);
    packet[check + 1] ^= 1;
    EXPECT_EQ(node_.at_xdp(packet).verdict, kXdpRedirect) << "a wrong one";
  });
}

TEST_F(Express, ADatagramWithoutChecksumStaysSo) {
  const Flavour flavour{.family = families()[0], .protocol = kUdp};
  auto packet = on_uplink(frame(established(flavour).ask));
  packet[kEthBytes + kIpv4Bytes + 6] = packet[kEthBytes + kIpv4Bytes + 7] = 0;
  const auto outcome = node_.at_xdp(packet);
  EXPECT_EQ(outcome.verdict, kXdpRedirect);
  EXPECT_EQ(outcome.frame, with_macs(node_.at_tcx(packet).frame, kNodeMac, kUplinkMac));
}

TEST_F(Express, UplinksThatDoNotTakeWhatIsRedirected) {
  const auto talk = established({.family = families()[0]}).ask;
  node_.set_uplink(kUplink, 0);
  node_.renew();
  expect_left_to_tcx(talk);
  node_.set_uplink(kUplink, NK_UPLINK_SENDS);
  expect_left_to_tcx(talk);
  node_.renew();
  expect_passed_on(talk, kNodeMac);
  const auto ifindex = kDevice;
  ASSERT_EQ(bpf_map_delete_elem(node_.xdp.map("nk_uplink_v1"), &ifindex), 0);
  node_.renew();
  expect_left_to_tcx(talk);
}

// Before and after the routes change, which the agent tells by the epoch.
TEST_F(Express, FollowsRoutesAndNeighbours) {
  const auto talk = established({.family = families()[0]}).ask;
  expect_passed_on(talk, kNodeMac);
  command("ip route replace 10.0.9.0/24 via 192.0.2.254");
  node_.renew();
  const auto outcome = node_.at_xdp(on_uplink(frame(talk)));
  EXPECT_EQ(outcome.frame, with_macs(node_.at_tcx(on_uplink(frame(talk))).frame, kRouterMac, kUplinkMac));
  command("ip route replace 10.0.9.0/24 via 192.0.2.77");
  node_.renew();
  expect_left_to_tcx(talk);
  command("ip route replace 10.0.9.0/24 via 192.0.2.9");
  const timespec more_than_a_tick{.tv_sec = 1, .tv_nsec = 100'000'000};
  ::nanosleep(&more_than_a_tick, nullptr);
  expect_passed_on(talk, kNodeMac);
}

TEST_F(Express, TheDenyListComesFirst) {
  const auto talk = established({.family = families()[0]}).ask;
  node_.xdp.add_deny("203.0.113.0", 24);
  const auto outcome = node_.at_xdp(on_uplink(frame(talk)));
  EXPECT_EQ(outcome.verdict, kXdpDrop);
  EXPECT_EQ(node_.xdp.denied("203.0.113.0", 24).packets, 1U);
}

}  // namespace
}  // namespace netkite::bpf_tests
