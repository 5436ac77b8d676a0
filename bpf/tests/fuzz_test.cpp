// SPDX-License-Identifier: Apache-2.0
// Random and damaged frames: no program answers outside its set of verdicts, and whatever is refused is counted once.
#include <random>
#include <set>

#include "bpf/tests/node.hpp"
#include "skel/from_netdev.skel.h"
#include "skel/from_overlay.skel.h"
#include "skel/from_pod.skel.h"
#include "skel/to_netdev.skel.h"
#include "skel/to_overlay.skel.h"
#include "skel/to_pod.skel.h"
#include "skel/xdp_prefilter.skel.h"

namespace netkite::bpf_tests {
namespace {

constexpr int kRounds = 100'000;
constexpr std::size_t kWrapping = 50;  // around what goes to the overlay

class Frames {
 public:
  Bytes next() {
    if (number(4) == 0) return noise(kEthBytes + 40 + number(120));
    auto bytes = seeds_[number(seeds_.size())] + noise(number(24));
    for (std::size_t flips = number(4); flips > 0; --flips) bytes[number(bytes.size())] = random_byte();
    if (number(4) == 0) bytes.resize(kEthBytes + 40 + number(bytes.size() - kEthBytes - 40 + 1));
    return bytes;
  }

 private:
  std::size_t number(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(engine_); }
  std::uint8_t random_byte() { return static_cast<std::uint8_t>(number(256)); }
  Bytes noise(std::size_t length) {
    Bytes bytes(length);
    for (auto& each : bytes) each = random_byte();
    if (number(2) == 0 && length > kEthBytes) {
      bytes[12] = number(2) == 0 ? 0x08 : 0x86;
      bytes[13] = bytes[12] == 0x08 ? 0x00 : 0xdd;
    }
    return bytes;
  }

  std::mt19937 engine_{20240607};
  std::vector<Bytes> seeds_ = {
      frame(Ip4{.payload = tcp(30)}),
      frame(Ip4{.to = "10.0.9.7", .payload = tcp(30)}),
      frame(Ip4{.from = "10.0.9.7", .to = "10.0.0.1", .payload = tcp(30)}),
      frame(Ip4{.protocol = kIcmp, .options = {7, 8, 4, 0, 0, 0, 0, 0}, .payload = icmp(8) + Bytes(30)}),
      frame(Ip6{}),
      frame(Ip4{.to = "10.0.7.7", .payload = tcp(30)}),
      frame(Ip6{.to = "fd00:0:0:9::7"}),
      frame(Ip6{.from = "fd00:0:0:9::7", .to = "fd00::1"}),
      frame(Ip6{.next = kHopByHop,
                .payload = extension(kRouting) + extension(kDestination, 16, 3) + extension(kIcmp6) + icmp(134)}),
      tagged(frame(Ip4{.from = "203.0.113.9", .payload = tcp(30)}), kQinq, 2)};
};

void fuzz(const Program& program, const std::set<int>& legal, int refusal) {
  Frames frames;
  program.set_epoch(1);
  std::uint64_t refused = 0;
  std::set<int> seen;
  const auto before = program.drops();
  const int rounds = random_packets(kRounds);
  for (int round = 0; round < rounds; ++round) {
    const auto frame = frames.next();
    const auto outcome = program.run(frame);
    ASSERT_EQ(outcome.status, 0) << "round " << round;
    ASSERT_TRUE(legal.contains(outcome.verdict)) << "verdict " << outcome.verdict << " in round " << round;
    ASSERT_TRUE(outcome.frame.size() == frame.size() || outcome.frame.size() == frame.size() + kWrapping);
    seen.insert(outcome.verdict);
    if (outcome.verdict == refusal) ++refused;
  }
  std::uint64_t counted = 0;
  for (const auto& drop : difference(before, program.drops())) counted += drop.packets;
  EXPECT_EQ(counted, refused);
  EXPECT_EQ(seen, legal) << "the frames do not reach every kind of exit";
}

TEST(Fuzz, FromPod) { fuzz(OnNode<from_pod>(kNetkit).program, {kPass, kDrop, kRedirect}, kDrop); }
TEST(Fuzz, FromPodWithHooks) { fuzz(OnNode<from_pod>(kNetkitHooks).program, {kNext, kDrop}, kDrop); }
TEST(Fuzz, ToPod) { fuzz(OnNode<to_pod>(kNetkit).program, {kPass, kDrop}, kDrop); }
TEST(Fuzz, FromNetdev) { fuzz(OnNode<from_netdev>(kNetkit).program, {kNext, kDrop, kRedirect}, kDrop); }

TEST(Fuzz, ToNetdev) { fuzz(OnNode<to_netdev>(kServices).program, {kNext}, kDrop); }

TEST(Fuzz, FromPodThatIsMasqueraded) { fuzz(OnNode<from_pod>(kMasquerade).program, {kPass, kDrop, kRedirect}, kDrop); }
TEST(Fuzz, FromNetdevToWhomIsMasqueraded) {
  fuzz(OnNode<from_netdev>(kMasquerade).program, {kNext, kDrop, kRedirect}, kDrop);
}

TEST(Fuzz, FromPodToTheOverlay) { fuzz(OnNode<from_pod>(kOverlay).program, {kPass, kDrop, kRedirect}, kDrop); }
// No frame of a test run has come out of a tunnel.
TEST(Fuzz, FromOverlay) { fuzz(OnNode<from_overlay>(kOverlay).program, {kDrop}, kDrop); }
TEST(Fuzz, ToOverlay) { fuzz(OnNode<to_overlay>(kOverlay).program, {kPass, kDrop}, kDrop); }

TEST(Fuzz, XdpPrefilter) {
  const Program program(OnNode<xdp_prefilter>::elf(), OnNode<xdp_prefilter>::size(), nk_config{});
  program.add_deny("203.0.113.0", 24);
  program.add_deny("fd00::", 64);
  fuzz(program, {1, 2}, 1);
}

}  // namespace
}  // namespace netkite::bpf_tests
