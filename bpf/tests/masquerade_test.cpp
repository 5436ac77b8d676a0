// SPDX-License-Identifier: Apache-2.0
// What pods send to the outside: under the node's address, and its answers back, by the whole frame.
#include "bpf/tests/masquerade_node.hpp"

namespace netkite::bpf_tests {
namespace {

TEST_F(Masquerade, ThereAndBackWithTheSamePort) {
  each([&](const Flavour& flavour) {
    const auto talk = leaving(flavour);
    const auto seen = masked(flavour, talk.ends);
    expect_becomes(pod_, talk, seen);
    expect_becomes(netdev_, flavour.answer(seen), reversed(talk.ends));
    auto more = talk;
    more.flags = kAck;
    more.payload = Bytes(1001, 7);
    expect_becomes(pod_, more, seen);
    const auto there = node_.connection(talk.ends, flavour.protocol);
    const auto back = node_.connection(reversed(seen), flavour.protocol);
    ASSERT_TRUE(there && back);
    EXPECT_EQ(there->use, NK_CT_MASQUERADE);
    EXPECT_EQ(there->ifindex, kUplink);
    EXPECT_EQ(back->use, NK_CT_MASQUERADE);
    EXPECT_TRUE(back->reply);
  });
  EXPECT_EQ(node_.connections(), 8U);
}

TEST_F(Masquerade, TwoPodsWithTheSamePortToOneServer) {
  each([&](const Flavour& flavour) {
    const auto first = leaving(flavour), second = leaving(flavour, 40000, second_pod(flavour));
    expect_becomes(pod_, first, masked(flavour, first.ends));
    const auto seen = expect_another_port(flavour, second);
    expect_becomes(netdev_, flavour.answer(seen), reversed(second.ends));
    expect_becomes(netdev_, flavour.answer(masked(flavour, first.ends)), reversed(first.ends));
    // Another server may see the same port of both.
    auto elsewhere = leaving(flavour, 40000, second_pod(flavour));
    elsewhere.ends.to_port = 444;
    expect_becomes(pod_, elsewhere, masked(flavour, elsewhere.ends));
  });
}

TEST_F(Masquerade, APortOfTheStacksIsNotKept) {
  each([&](const Flavour& flavour) {
    for (const auto port : {kStackFirstPort, kLastPort}) expect_another_port(flavour, leaving(flavour, port));
    const auto last = leaving(flavour, kExitLastPort);
    expect_becomes(pod_, last, masked(flavour, last.ends));
  });
}

TEST_F(Masquerade, APortThatTheNodeHasASocketForIsNotKept) {
  each([&](const Flavour& flavour) {
    const auto socket = bound_socket(flavour.family, flavour.protocol, 40001);
    expect_another_port(flavour, leaving(flavour, 40001));
  });
}

// Whom the pod sends something from there would get the pod, when he asks for the service.
TEST(MasqueradeBesideServices, APortWhereAServiceIsAskedForIsNotKept) {
  stand_in_a_namespace();
  const MasqueradeNode node(with_masquerade(kServices));
  constexpr std::uint16_t kNodePort = 30001, kFree = 30000;
  each([&](const Flavour& flavour) {
    const auto seen = [&](std::uint16_t port) {
      const Ends ends{.from = flavour.family.pod, .from_port = port, .to = flavour.family.client, .to_port = 443};
      return ends_of(node.pod.program.run(frame(Talk{.ends = ends, .protocol = flavour.protocol})).frame);
    };
    EXPECT_EQ(seen(kFree).from_port, kFree);
    EXPECT_EQ(seen(kNodePort).from, flavour.family.node);
    EXPECT_GE(seen(kNodePort).from_port, kFirstPort);
  });
}

// The kernel knows nothing of the table when it hands out ports.
// A node believes who comes to its overlay from another node's address.
TEST(MasqueradeBesideAnOverlay, NobodySpeaksToAnOverlayUnderTheNodesAddress) {
  stand_in_a_namespace();
  const MasqueradeNode node(with_masquerade(kServicesOverlay));
  constexpr std::uint16_t kOverlayPort = 8472;
  each([&](const Flavour& flavour) {
    const Talk talk{
        .ends = {.from = flavour.family.pod, .from_port = 40000, .to = flavour.family.client, .to_port = kOverlayPort},
        .protocol = flavour.protocol};
    const bool refused = flavour.protocol == kUdp;
    EXPECT_EQ(node.pod.program.run(frame(talk)).verdict, refused ? kPass : kRedirect);
    EXPECT_NE(node.connection(talk.ends, flavour.protocol).has_value(), refused);

    const auto set = ServiceNode::set_of(2, flavour.family.node);
    nk_backend backend{};
    write_address(backend.address, flavour.family.remote);
    backend.port = big_endian(kOverlayPort);
    backend.set = set;
    put(node.netdev.program, "nk_backend_v1", set, backend);
    const auto before = node.netdev.program.drops();
    const auto asked = flavour.asking(flavour.family.client, 40000, 2);
    EXPECT_EQ(node.netdev.program.run(frame(asked)).verdict, refused ? kDrop : kRedirect);
    EXPECT_NE(node.connection(asked.ends, flavour.protocol).has_value(), refused);
    if (!refused) return;
    EXPECT_EQ(difference(before, node.netdev.program.drops()).at(0).reason, NK_DROP_UNREACHABLE_BACKEND);
  });
}

TEST_F(Masquerade, ASocketThatTheNodeGetsLaterHasItsPackets) {
  each([&](const Flavour& flavour) {
    const auto talk = leaving(flavour, 40002);
    const auto seen = masked(flavour, talk.ends);
    expect_becomes(pod_, talk, seen);
    const auto socket = bound_socket(flavour.family, flavour.protocol, 40002);
    auto answer = flavour.answer(seen);
    if (flavour.protocol == kTcp) {
      // Who only listens is not meant by the pod's answers, but by whoever begins.
      expect_becomes(netdev_, answer, reversed(talk.ends));
      answer.flags = kSyn;
    }
    check_once(netdev_, Case{"the node's", frame(answer), kNext});
    EXPECT_FALSE(node_.connection(talk.ends, flavour.protocol));
    EXPECT_FALSE(node_.connection(reversed(seen), flavour.protocol));
    expect_another_port(flavour, talk);
  });
}

TEST_F(Masquerade, WhatIsNotForTheOutsideIsUntouched) {
  each([&](const Flavour& flavour) {
    const bool v4 = flavour.family.name == "IPv4";
    const auto to = [&](const std::string& four, const std::string& six) {
      auto talk = leaving(flavour);
      talk.ends.to = v4 ? four : six;
      return frame(talk);
    };
    check(pod_, {{"the node itself", to("192.0.2.1", "2001:db8::1"), kPass},
                 {"an exception", to("203.0.113.129", "2001:db8:113:8000::1"), kPass},
                 {"a group", to("224.0.0.5", "ff02::5"), kPass},
                 {"the link", to("255.255.255.255", "fe80::5"), kPass},
                 {"by a device that is no uplink", to("198.18.0.1", "2001:2::1"), kPass}});
  });
  EXPECT_EQ(node_.connections(), 0U);
}

TEST_F(Masquerade, APodOnTheStackStaysThere) {
  for (const auto* address : {"10.0.0.5", "fd00::5"}) {
    const bool v4 = std::string(address).find(':') == std::string::npos;
    const Flavour flavour{.family = families()[v4 ? 0 : 1]};
    // The slot remembers another pod's way to the same place.
    std::ignore = pod_.run(frame(leaving(flavour)));
    check(pod_, Case{"a pod on the stack", frame(leaving(flavour, 40000, address)), kPass});
  }
}

TEST_F(Masquerade, WhatDoesNotBeginAConnectionIsTheStacks) {
  for (const auto& family : families()) {
    for (const std::uint8_t flags : {kAck, kFin, kRst, static_cast<std::uint8_t>(kSyn | kAck)}) {
      auto talk = leaving({.family = family});
      talk.flags = flags;
      check(pod_, Case{"amid a connection that the stack may know", frame(talk), kPass});
    }
  }
  each([&](const Flavour& flavour) {
    auto talk = leaving(flavour);
    talk.hops = 1;
    check(pod_, Case{"the last hop", frame(talk), kPass});
    talk.hops = 64;
    expect_becomes(pod_, talk, masked(flavour, talk.ends));
    talk.hops = 1;
    check(pod_, Case{"the last hop of a connection", frame(talk), kPass});
    check(netdev_,
          Case{"an answer to nobody",
               frame(flavour.answer(
                   {.from = flavour.family.node, .from_port = 40009, .to = flavour.family.client, .to_port = 443})),
               kNext});
  });
  EXPECT_EQ(node_.connections(), 8U);
}

TEST_F(Masquerade, WithoutAnAddressOrAnUplinkTheStackHasIt) {
  node_.exit_of(kUplink, "", "2001:db8::1");
  const Flavour four{.family = families()[0]}, six{.family = families()[1]};
  check(pod_, Case{"no IPv4 address", frame(leaving(four)), kPass});
  expect_becomes(pod_, leaving(six), masked(six, leaving(six).ends));
  const std::uint32_t uplink = kUplink;
  ASSERT_EQ(bpf_map_delete_elem(pod_.map("nk_exit_v1"), &uplink), 0);
  check(pod_, Case{"no uplink", frame(leaving(six, 40001)), kPass});
  // A connection goes on.
  expect_becomes(pod_, leaving(six), masked(six, leaving(six).ends));
}

TEST_F(Masquerade, AFlowOfDatagramsGetsTheNodesNewAddress) {
  for (const auto& family : families()) {
    const Flavour flavour{.family = family, .protocol = kUdp};
    const auto talk = leaving(flavour);
    node_.exit_of(kUplink, "192.0.2.1", "2001:db8::1");
    const auto seen = masked(flavour, talk.ends);
    expect_becomes(pod_, talk, seen);
    const bool v4 = family.name == "IPv4";
    node_.exit_of(kUplink, v4 ? "192.0.2.77" : "", v4 ? "" : "2001:db8::77");
    expect_becomes(pod_, talk, seen);
    auto silent = node_.connection(talk.ends, kUdp);
    ASSERT_TRUE(silent);
    silent->time_ns -= 2'000'000'000;
    put(pod_, "nk_ct_v1", tuple_of(talk.ends, kUdp), *silent);
    auto anew = seen;
    anew.from = v4 ? "192.0.2.77" : "2001:db8::77";
    expect_becomes(pod_, talk, anew);
    EXPECT_FALSE(node_.connection(reversed(seen), kUdp));
  }
}

TEST_F(Masquerade, APortThatIsUsedAnewBeginsAnew) {
  for (const auto& family : families()) {
    const Flavour flavour{.family = family};
    const auto talk = leaving(flavour);
    const auto seen = masked(flavour, talk.ends);
    expect_becomes(pod_, talk, seen);
    const auto socket = bound_socket(family, kTcp, talk.ends.from_port);
    expect_becomes(pod_, talk, seen);  // the same SYN again
    auto last = flavour.answer(seen), own = talk;
    last.flags = own.flags = kFin | kAck;
    expect_becomes(netdev_, last, reversed(talk.ends));
    expect_becomes(pod_, own, seen);
    expect_another_port(flavour, talk);
  }
}

TEST_F(Masquerade, AnswersToAPodThatHasGoneAreTheStacks) {
  each([&](const Flavour& flavour) {
    const auto talk = leaving(flavour, 40000, second_pod(flavour));
    const auto seen = masked(flavour, talk.ends);
    pod_.add_endpoint(second_pod(flavour),
                      {.ifindex = kDevice, .flags = 0, .pod_mac = {}, .host_mac = {}, .endpoint_id = kEndpointId});
    pod_.set_epoch(0);
    expect_becomes(pod_, talk, seen);
    pod_.remove_endpoint(second_pod(flavour));
    check(netdev_, Case{"nobody's", frame(flavour.answer(seen)), kNext});
  });
}

TEST_F(Masquerade, APodsOwnPacketsDoNotComeInOnAnUplink) {
  each([&](const Flavour& flavour) {
    const auto talk = leaving(flavour);
    expect_becomes(pod_, talk, masked(flavour, talk.ends));
    expect_dropped(netdev_, talk, NK_DROP_UPLINK_SPOOF);
  });
}

TEST_F(Masquerade, WhenNoPortIsLeftOrTheTableIsFullNewOnesAreRefused) {
  each([&](const Flavour& flavour) {
    nk_exit one{};
    write_address(one.address4, "192.0.2.1");
    write_address(one.address6, "2001:db8::1");
    one.first_port = one.last_port = kFirstPort;
    one.stack_last_port = 0xffff;
    put(pod_, "nk_exit_v1", kUplink, one);
    const auto first = leaving(flavour);
    expect_becomes(pod_, first, masked(flavour, first.ends, kFirstPort));
    expect_dropped(pod_, leaving(flavour, 40001), NK_DROP_PORTS_EXHAUSTED);
    expect_becomes(pod_, first, masked(flavour, first.ends, kFirstPort));
  });
  node_.exit_of(kUplink, "192.0.2.1", "2001:db8::1");
  const Flavour flavour{.family = families()[0]};
  for (std::uint16_t port = 1; node_.connections() < 64; ++port) std::ignore = pod_.run(frame(leaving(flavour, port)));
  expect_dropped(pod_, leaving(flavour, 50000), NK_DROP_CONNECTIONS_FULL);
}

// One range would not do for all that ask one server.
TEST_F(Masquerade, WhenTheRangeHasNoPortLeftAnyOtherOneDoes) {
  each([&](const Flavour& flavour) {
    const std::uint32_t uplink = kUplink;
    nk_exit small{};
    node_.exit_of(uplink, "192.0.2.1", "2001:db8::1");
    ASSERT_EQ(bpf_map_lookup_elem(pod_.map("nk_exit_v1"), &uplink, &small), 0);
    small.last_port = small.first_port;
    put(pod_, "nk_exit_v1", uplink, small);
    const auto first = leaving(flavour), second = leaving(flavour, 40000, second_pod(flavour));
    expect_becomes(pod_, first, masked(flavour, first.ends));
    expect_becomes(pod_, second, masked(flavour, second.ends, kFirstPort));
    const auto third = leaving(flavour, 40001);
    const auto socket = bound_socket(flavour.family, flavour.protocol, 40001);
    const auto seen = ends_of(pod_.run(frame(third)).frame);
    EXPECT_GE(seen.from_port, 1024);
    EXPECT_LT(seen.from_port, kFirstPort);
    EXPECT_NE(seen.from_port, 40001);
    expect_becomes(pod_, third, masked(flavour, third.ends, seen.from_port));
    expect_becomes(netdev_, flavour.answer(seen), reversed(third.ends));
    // Such a port may become a socket's, too; one of the range is nobody's to look at.
    const auto later = bound_socket(flavour.family, flavour.protocol, seen.from_port);
    const auto in_range = bound_socket(flavour.family, flavour.protocol, kFirstPort);
    auto answer = flavour.answer(seen), other = flavour.answer(masked(flavour, second.ends, kFirstPort));
    answer.flags = other.flags = kSyn;
    check_once(netdev_, Case{"the node's", frame(answer), kNext});
    expect_becomes(netdev_, other, reversed(second.ends));
  });
}

// A pod's MTU is for what it sends: only what must not be cut is refused for it.
TEST_F(Masquerade, APodTakesWholeWhatARouterWouldCut) {
  constexpr std::size_t kFlags = kEthBytes + 6;
  constexpr std::uint8_t kDoNotCut = 0x40;
  ASSERT_EQ(std::system("ip link set lo mtu 1300"), 0);
  netdev_.set_device(kDevice, {.flags = NK_EP_IPV4 | NK_EP_IPV6 | NK_EP_DIRECT, .endpoint_id = kEndpointId});
  each([&](const Flavour& flavour) {
    const bool v4 = flavour.family.name == "IPv4";
    const auto talk = leaving(flavour);
    const auto seen = masked(flavour, talk.ends);
    expect_becomes(pod_, talk, seen);
    auto answer = flavour.answer(seen);
    answer.payload = Bytes(1400);
    if (v4) expect_becomes(netdev_, answer, reversed(talk.ends));
    auto whole = frame(answer);
    if (v4) whole[kFlags] |= kDoNotCut;
    const auto before = netdev_.drops();
    std::ignore = netdev_.run(whole);
    EXPECT_EQ(difference(before, netdev_.drops()),
              (std::vector<Drop>{{.reason = NK_DROP_TOO_BIG, .packets = 1, .bytes = whole.size()}}));
  });
  ASSERT_EQ(std::system("ip link set lo mtu 65536"), 0);
}

TEST_F(Masquerade, WhatIsTooLargeForTheUplinkIsRefused) {
  ASSERT_EQ(std::system("ip link set up0 mtu 1400"), 0);
  each([&](const Flavour& flavour) {
    auto talk = leaving(flavour);
    expect_becomes(pod_, talk, masked(flavour, talk.ends));
    talk.flags = kAck;
    talk.payload = Bytes(1300, 1);
    expect_becomes(pod_, talk, masked(flavour, talk.ends));
    talk.payload = Bytes(1400, 1);
    const auto before = pod_.drops();
    EXPECT_EQ(pod_.run(frame(talk)).verdict, kRedirect);  // the error, back to the pod
    EXPECT_EQ(difference(before, pod_.drops()).at(0).reason, NK_DROP_TOO_BIG);
    EXPECT_EQ(pod_.run(frame(talk), 1000).verdict, kRedirect) << "segments that the device cuts";
  });
  ASSERT_EQ(std::system("ip link set up0 mtu 1500"), 0);
}

}  // namespace
}  // namespace netkite::bpf_tests
