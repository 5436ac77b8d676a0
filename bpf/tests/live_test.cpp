// SPDX-License-Identifier: Apache-2.0
// On a veth pair with real packets: the backstop, and what BPF_PROG_TEST_RUN cannot feed.
#include "bpf/tests/node.hpp"
#include "bpf/tests/veth_lab.hpp"
#include "skel/backstop.skel.h"
#include "skel/from_pod.skel.h"
#include "skel/to_pod.skel.h"

namespace netkite::bpf_tests {
namespace {

constexpr nk_endpoint endpoint_on(std::uint32_t ifindex) {
  return {.ifindex = ifindex,
          .flags = NK_EP_L2,
          .pod_mac = {2, 0, 0, 0, 0, 1},
          .host_mac = {2, 0, 0, 0, 0, 2},
          .endpoint_id = kEndpointId};
}

struct Backstop {
  explicit Backstop(const nk_config& config) : program(OnNode<backstop>::elf(), OnNode<backstop>::size(), config) {}
  Program program;
};

class Live : public testing::Test {
 protected:
  // Our two programs on host0 with the pod's address on it, first in their chains.
  void attach_ours(const nk_config& config) {
    from_.emplace(config);
    to_.emplace(config);
    for (const auto* program : {&from_->program, &to_->program}) {
      program->add_endpoint("10.0.0.1", endpoint_on(lab_.host()));
      program->set_device(lab_.host(), {.flags = NK_EP_IPV4, .endpoint_id = kEndpointId});
    }
    lab_.attach_ingress(from_->program.fd());
    lab_.attach_egress(to_->program.fd());
  }

  void attach_foreign(std::uint16_t tc_index) {
    const auto program = foreign_program(tc_index);
    lab_.attach_ingress(program.get());
    lab_.attach_egress(program.get());
  }

  void expect_passes(bool passes) {
    EXPECT_EQ(lab_.reaches_host(), passes);
    EXPECT_EQ(lab_.reaches_pod(), passes);
  }

  VethLab lab_;
  std::optional<OnNode<from_pod>> from_;
  std::optional<OnNode<to_pod>> to_;
};

TEST_F(Live, VethPassesWithoutAnything) { expect_passes(true); }

TEST_F(Live, BackstopAloneDrops) {
  for (const auto& config : {kVeth, kVethHooks}) {
    const Backstop last(config);
    VethLab lab;
    lab.attach_backstop(last.program.fd());
    EXPECT_FALSE(lab.reaches_host());
    EXPECT_FALSE(lab.reaches_pod());
  }
}

TEST_F(Live, OurProgramsEndTheChain) {
  const Backstop last(kVeth);
  attach_ours(kVeth);
  lab_.attach_backstop(last.program.fd());
  expect_passes(true);
}

TEST_F(Live, AcceptedPacketsPassProgramsBehindOurs) {
  const Backstop last(kVethHooks);
  attach_ours(kVethHooks);
  attach_foreign(0);
  lab_.attach_backstop(last.program.fd());
  expect_passes(true);
}

TEST_F(Live, AForeignProgramAloneIsNoAcceptance) {
  const Backstop last(kVethHooks);
  attach_foreign(0);
  lab_.attach_backstop(last.program.fd());
  expect_passes(false);
}

TEST_F(Live, AnotherDevicesAcceptanceIsNone) {
  const Backstop last(kVethHooks);
  attach_foreign(static_cast<std::uint16_t>(NK_ACCEPTED_COOKIE ^ (lab_.host() + 1)));
  lab_.attach_backstop(last.program.fd());
  expect_passes(false);
}

TEST_F(Live, WithoutProgramsBehindOursNothingGetsByTheBackstop) {
  const Backstop last(kVeth);
  attach_foreign(static_cast<std::uint16_t>(NK_ACCEPTED_COOKIE ^ lab_.host()));
  lab_.attach_backstop(last.program.fd());
  expect_passes(false);
}

TEST_F(Live, TruncatedHeadersAreMalformed) {
  attach_ours(kVeth);
  const auto ipv4 = frame(Ip4{.to = "192.0.2.1"}), ipv6 = frame(Ip6{});
  std::vector<Bytes> frames;
  for (std::size_t length = kEthBytes + 1; length < kEthBytes + kIpv4Bytes; ++length)
    frames.push_back(cut(ipv4, length));
  for (std::size_t length = kEthBytes + 1; length < kEthBytes + kIpv6Bytes; ++length)
    frames.push_back(cut(ipv6, length));
  for (const auto& each : frames) {
    SCOPED_TRACE(each.size());
    const auto before = from_->program.drops();
    lab_.send_from_pod(each);
    EXPECT_EQ(difference(before, from_->program.drops()),
              (std::vector<Drop>{{.reason = NK_DROP_MALFORMED, .packets = 1, .bytes = each.size()}}));
  }
}

// The same addresses on another device are another pod's lie, whatever is remembered.
TEST_F(Live, AProofHoldsForItsDeviceOnly) {
  const OnNode<from_pod> node(kVeth);
  node.program.set_epoch(1);
  for (const auto& each : {frame(Ip4{.to = "10.0.9.7"}), frame(Ip6{.to = "fd00:0:0:9::7"})}) {
    EXPECT_EQ(node.program.run(each).verdict, kRedirect);
    EXPECT_EQ(node.program.run(each, 0, lab_.host()).verdict, kDrop);
    EXPECT_EQ(node.program.run(each).verdict, kRedirect);
  }
}

// The stack takes the tag off the frame before our program sees it.
TEST_F(Live, ATaggedPacketIsRefused) {
  attach_ours(kVeth);
  const auto plain = frame(Ip4{.to = "192.0.2.1", .destination = lab_.host_mac()});
  lab_.send_from_pod(plain);
  EXPECT_TRUE(from_->program.drops().empty());
  lab_.send_from_pod(tagged(plain, kVlan));
  const auto drops = from_->program.drops();
  ASSERT_EQ(drops.size(), 1U);
  EXPECT_EQ(drops[0].reason, std::uint32_t{NK_DROP_UNSUPPORTED_L3});
}

}  // namespace
}  // namespace netkite::bpf_tests
