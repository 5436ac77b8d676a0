// SPDX-License-Identifier: Apache-2.0
// Pods that ask for a service by packets, which no socket has translated: there and back.
#include "bpf/tests/masquerade_node.hpp"

namespace netkite::bpf_tests {
namespace {

class ServiceAsked : public ServicePath {
 protected:
  static void SetUpTestSuite() { stand_in_a_namespace(); }

  const Program& device_ = node_.to_device.program;

  static Talk asking(const Flavour& flavour, std::uint32_t set, const std::string& pod) {
    auto talk = flavour.asking(pod, 40000, set);
    talk.ends.to = flavour.family.cluster;
    return talk;
  }
  static Talk asking(const Flavour& flavour, std::uint32_t set) { return asking(flavour, set, flavour.family.pod); }
  // The backend sees this node; returns its next packet.
  [[nodiscard]] Talk expect_under_nodes_address(const Flavour& flavour, const Talk& ask,
                                                const std::string& backend) const {
    const auto port = ends_of(pod_.run(frame(ask)).frame).from_port;
    EXPECT_GE(port, kFirstPort);
    const Ends seen{.from = flavour.family.node, .from_port = port, .to = backend, .to_port = kBackendPort};
    expect_becomes(pod_, ask, seen);
    return flavour.answer(seen);
  }
};

TEST_F(ServiceAsked, SomebodyElsewhereAnswersThisNode) {
  each([&](const Flavour& flavour) {
    const auto& family = flavour.family;
    for (const auto& [set, backend] : {std::pair(2U, family.remote), std::pair(3U, family.outside)}) {
      const auto ask = asking(flavour, set);
      expect_becomes(netdev_, expect_under_nodes_address(flavour, ask, backend), reversed(ask.ends));
    }
  });
}

TEST_F(ServiceAsked, APodOfThisNodeAnswersItToo) {
  each([&](const Flavour& flavour) {
    const auto ask = asking(flavour, 1);
    expect_becomes(pod_, expect_under_nodes_address(flavour, ask, flavour.family.pod), reversed(ask.ends));
  });
}

TEST_F(ServiceAsked, WhoAnswersByTheStackSeesThePod) {
  each([&](const Flavour& flavour) {
    const auto& family = flavour.family;
    for (const auto& [set, backend] : {std::pair(8U, family.node), std::pair(9U, family.hooked)}) {
      const auto ask = asking(flavour, set);
      const Ends seen{.from = family.pod, .from_port = 40000, .to = backend, .to_port = kBackendPort};
      expect_at_stack(pod_, ask, seen, kPass);
      expect_at_stack(device_, flavour.answer(seen), reversed(ask.ends), kPass);
      auto unasked = flavour.answer(seen);
      unasked.ends.to_port = 40001;
      expect_at_stack(device_, unasked, unasked.ends, kPass);
    }
  });
}

TEST_F(ServiceAsked, WhereNobodyServesThePodIsTold) {
  each([&](const Flavour& flavour) {
    const auto ask = asking(flavour, 6);
    const auto before = pod_.drops();
    const auto outcome = pod_.run(frame(ask));
    EXPECT_EQ(outcome.verdict, kRedirect);
    EXPECT_NE(outcome.frame, frame(ask));
    EXPECT_EQ(difference(before, pod_.drops()),
              (std::vector<Drop>{{.reason = NK_DROP_NO_BACKEND, .packets = 1, .bytes = frame(ask).size()}}));
  });
}

TEST_F(ServiceAsked, APodThatTakesTheStackIsNotServed) {
  each([&](const Flavour& flavour) {
    const auto ask = asking(flavour, 1, flavour.family.name == "IPv4" ? "10.0.0.5" : "fd00::5");
    expect_at_stack(pod_, ask, ask.ends, kPass);
  });
  EXPECT_EQ(node_.connections(), 0U);
}

TEST_F(ServiceAsked, MasqueradeIsForWhoAsksForNoService) {
  const MasqueradeNode node(with_services(kMasquerade));
  each([&](const Flavour& flavour) {
    const auto ask = asking(flavour, 2);
    const auto seen = ends_of(node.pod.program.run(frame(ask)).frame);
    EXPECT_EQ(seen.to, flavour.family.remote);
    auto other = ask;
    other.ends.to = flavour.family.client;
    expect_becomes(
        node.pod.program, other,
        {.from = flavour.family.node, .from_port = 40000, .to = other.ends.to, .to_port = other.ends.to_port});
  });
}

}  // namespace
}  // namespace netkite::bpf_tests
