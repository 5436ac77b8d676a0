// SPDX-License-Identifier: Apache-2.0
// A packet that is on its way through the programs while the chain is changed meets every one that stays exactly once.
#include <bpf/bpf.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "kernel-patches/tests/hook.hpp"

namespace netkite::kernel_tests {
namespace {

enum Counter : std::uint32_t { kFirst, kSlow, kLast, kCounters };
constexpr std::uint32_t kSpins = 10000;  // many times as long as a change takes, within what the verifier follows
constexpr std::int32_t kNext = -1, kDrop = 2;
constexpr int kRounds = 10;
constexpr std::uint64_t kPackets = 3000;

class WalkTest : public testing::TestWithParam<bpf_attach_type> {};

// The chain is first, slow, last. Three more come in behind the first and go again, which moves the slow one's place by
// up to three while packets are in it: who rewrites an array that is still walked makes them meet a program twice or
// never.
TEST_P(WalkTest, ChangesDoNotDisturbIt) {
  const Hook hook(GetParam());
  const UniqueFd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "nk_walk", sizeof(std::uint32_t),
                                    sizeof(std::uint64_t) * kCounters, 1, nullptr));
  ASSERT_TRUE(map.valid());
  const auto first = load_program({.verdict = kNext, .map = map.get(), .key = kFirst});
  const auto slow = load_program({.verdict = kNext, .map = map.get(), .key = kSlow, .spins = kSpins});
  const auto last = load_program({.verdict = kDrop, .map = map.get(), .key = kLast});
  std::array<UniqueFd, 3> stay, come, programs;
  ASSERT_EQ(hook.attach_link({.program = first.get()}, stay[0]), 0);
  ASSERT_EQ(hook.attach_link({.program = slow.get()}, stay[1]), 0);
  ASSERT_EQ(hook.attach_link({.program = last.get()}, stay[2]), 0);
  for (auto& program : programs) program = load_program();

  std::array<std::uint64_t, kCounters> counts{};
  const auto read = [&] {
    const std::uint32_t key = 0;
    EXPECT_EQ(bpf_map_lookup_elem(map.get(), &key, counts.data()), 0);
    return counts[kFirst];
  };

  std::atomic<bool> done = false;
  std::thread traffic([&] {
    while (!done) hook.pass_a_packet();
  });
  for (int round = 0; round < kRounds || read() < kPackets; ++round) {
    for (std::size_t i = 0; i < come.size(); ++i) {
      EXPECT_EQ(hook.attach_link({.program = programs.at(i).get(),
                                  .flags = BPF_F_AFTER,
                                  .relative = static_cast<std::uint32_t>(first.get())},
                                 come.at(i)),
                0);
    }
    for (auto& link : come) link.reset();
  }
  done = true;
  traffic.join();

  // Received packets are still on their way when the sender has ended.
  for (std::uint64_t before = ~std::uint64_t{0}; read() != before; before = counts[kFirst]) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  EXPECT_EQ(counts[kSlow], counts[kFirst]);
  EXPECT_EQ(counts[kLast], counts[kFirst]);
}

INSTANTIATE_TEST_SUITE_P(Hooks, WalkTest,
                         testing::Values(BPF_NETKIT_PRIMARY, BPF_NETKIT_PEER, BPF_TCX_INGRESS, BPF_TCX_EGRESS));

}  // namespace
}  // namespace netkite::kernel_tests
