// SPDX-License-Identifier: Apache-2.0
// A netkit device passes what its last program answers with NEXT: so no program of ours may, unless programs stand
// behind it. Proven from the loaded instructions, for every path, not from packets.
#include "bpf/tests/node.hpp"
#include "bpf/tests/verdict_flow.hpp"
#include "skel/backstop.skel.h"
#include "skel/from_netdev.skel.h"
#include "skel/from_overlay.skel.h"
#include "skel/from_pod.skel.h"
#include "skel/to_netdev.skel.h"
#include "skel/to_overlay.skel.h"
#include "skel/to_pod.skel.h"
#include "skel/xdp_prefilter.skel.h"

namespace netkite::bpf_tests {
namespace {

using Verdicts = std::set<std::int32_t>;

template <typename Skeleton>
std::optional<Verdicts> verdicts(const nk_config& config) {
  const Program program(OnNode<Skeleton>::elf(), OnNode<Skeleton>::size(), config);
  return return_values(translated_instructions(program.fd()));
}

TEST(Verdicts, NeverNextOnAPodsDevice) {
  for (const auto& config : {kNetkit, kVeth, kOverlay, kServices, kServicesOverlay, kMasquerade, kMasqueradeOverlay}) {
    EXPECT_EQ(verdicts<from_pod>(config), (Verdicts{kPass, kDrop, kRedirect}));
    EXPECT_EQ(verdicts<to_pod>(config), (Verdicts{kPass, kDrop}));
  }
}

// That PASS is not among them is for from_pod_test and to_pod_test to say: a branch never taken stays in the program
// when its end is also another branch's end.
TEST(Verdicts, NextAndNoRedirectWithProgramsBehind) {
  for (const auto& config : {kNetkitHooks, kVethHooks, with_services(kNetkitHooks), with_masquerade(kNetkitHooks)}) {
    for (const auto& found : {verdicts<from_pod>(config), verdicts<to_pod>(config)}) {
      ASSERT_TRUE(found);
      EXPECT_TRUE(found->contains(kNext));
      EXPECT_FALSE(found->contains(kRedirect));
    }
  }
}

// As on a pod's device: what stands behind is the backstop.
TEST(Verdicts, NeverNextOnTheOverlay) {
  for (const auto& config : {kOverlay, kServicesOverlay, kMasqueradeOverlay})
    EXPECT_EQ(verdicts<from_overlay>(config), (Verdicts{kPass, kDrop, kRedirect}));
  EXPECT_EQ(verdicts<to_overlay>(kOverlay), (Verdicts{kPass, kDrop}));
  EXPECT_FALSE(verdicts<from_overlay>(kOverlayHooks)->contains(kRedirect));
}

TEST(Verdicts, OfTheOthers) {
  EXPECT_EQ(verdicts<from_netdev>(kNetkit), (Verdicts{kNext, kDrop, kRedirect}));
  EXPECT_EQ(verdicts<from_netdev>(kServices), (Verdicts{kNext, kDrop, kRedirect}));
  EXPECT_EQ(verdicts<from_netdev>(kServicesOverlay), (Verdicts{kNext, kDrop, kRedirect}));
  EXPECT_EQ(verdicts<from_netdev>(kMasquerade), (Verdicts{kNext, kDrop, kRedirect}));
  EXPECT_EQ(verdicts<from_netdev>(with_masquerade(kNetkitHooks)), (Verdicts{kNext, kDrop}));
  EXPECT_EQ(verdicts<from_netdev>(kNetkitHooks), (Verdicts{kNext, kDrop}));
  EXPECT_EQ(verdicts<from_netdev>(with_services(kNetkitHooks)), (Verdicts{kNext, kDrop}));
  EXPECT_EQ(verdicts<to_netdev>(kServices), (Verdicts{kNext, kDrop}));
  EXPECT_EQ(verdicts<xdp_prefilter>(nk_config{}), (Verdicts{XDP_DROP, XDP_PASS}));
  auto express = kServices;
  express.express = 1;
  EXPECT_EQ(verdicts<xdp_prefilter>(express), (Verdicts{XDP_DROP, XDP_PASS, XDP_REDIRECT}));
  EXPECT_EQ(verdicts<backstop>(kVeth), (Verdicts{kDrop}));
  EXPECT_EQ(verdicts<backstop>(kVethHooks), (Verdicts{kNext, kDrop}));
}

bpf_insn insn(int code, std::uint8_t dst, std::uint8_t src, std::int16_t off, std::int32_t imm) {
  return {.code = static_cast<std::uint8_t>(code),
          .dst_reg = static_cast<std::uint8_t>(dst & 0xf),
          .src_reg = static_cast<std::uint8_t>(src & 0xf),
          .off = off,
          .imm = imm};
}

TEST(ReturnValues, FollowMovesBranchesAndCalls) {
  const auto exit = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  const auto move = [](std::uint8_t to, std::int32_t value) {
    return insn(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
  };
  const auto copy = insn(BPF_ALU | BPF_MOV | BPF_X, 0, 6, 0, 0);
  const auto branch = insn(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1, 0);
  const auto call = insn(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 1, 1);
  EXPECT_EQ(return_values({move(6, 2), branch, move(6, -1), copy, exit}), (Verdicts{2, -1}));
  const auto unless_two = insn(BPF_JMP32 | BPF_JNE | BPF_K, 6, 0, 1, 2);
  EXPECT_EQ(return_values({move(6, 2), branch, move(6, 0), unless_two, move(6, 7), copy, exit}), (Verdicts{0, 7}));
  EXPECT_EQ(return_values({call, exit, move(0, 7), exit}), (Verdicts{7}));
  EXPECT_EQ(return_values({insn(BPF_JMP | BPF_CALL, 0, 0, 0, 1), exit}), std::nullopt);
  EXPECT_EQ(return_values({move(0, 1), insn(BPF_ALU | BPF_SUB | BPF_K, 0, 0, 0, 2), exit}), std::nullopt);
  EXPECT_EQ(return_values({insn(BPF_LDX | BPF_MEM | BPF_W, 0, 1, 0, 0), exit}), std::nullopt);
}

}  // namespace
}  // namespace netkite::bpf_tests
