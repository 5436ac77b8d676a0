// SPDX-License-Identifier: Apache-2.0
#include "agent/service/maglev.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>

namespace netkite::service {
namespace {

constexpr std::size_t kPlacesEach = 100;
constexpr std::array<std::uint32_t, 7> kSizes = {251, 1021, 4093, 16381, 65521, 262139, 1048573};

// The bits of `value` well mixed: the finishing step of MurmurHash3, which is in the public domain.
std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ (value >> 33)) * 0xff51afd7ed558ccdU;
  value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53U;
  return value ^ (value >> 33);
}

// Of bytes in network order: the same on every machine.
std::uint64_t hash_of(const Member& member, std::uint64_t seed) {
  auto hash = mixed(seed ^ member.port);
  for (const auto byte : member.address.bytes()) hash = mixed(hash ^ byte);
  return hash;
}

// A backend's order: `next`, and then always `skip` places further. The number of places is a prime, so it meets all.
struct Turn {
  std::uint32_t next = 0, skip = 0;
  std::uint32_t id = 0;
};

// Without a division: this is where the time goes.
std::uint32_t after(const Turn& turn, std::uint32_t places) {
  const auto next = turn.next + turn.skip;
  return next < places ? next : next - places;
}

}  // namespace

std::uint32_t places_for(std::size_t backends) {
  if (backends == 0) return 0;
  const auto enough = [backends](std::uint32_t size) { return size >= backends * kPlacesEach; };
  const auto* size = std::ranges::find_if(kSizes, enough);
  return size == kSizes.end() ? kSizes.back() : *size;
}

std::vector<std::uint32_t> maglev_table(std::span<const Member> members, std::uint32_t places) {
  std::vector<Member> sorted(members.begin(), members.end());
  std::ranges::sort(sorted, {}, [](const Member& each) { return std::tie(each.address, each.port); });
  std::vector<Turn> turns;
  turns.reserve(sorted.size());
  for (const auto& each : sorted) {
    turns.push_back({.next = static_cast<std::uint32_t>(hash_of(each, 1) % places),
                     .skip = static_cast<std::uint32_t>(hash_of(each, 2) % (places - 1) + 1),
                     .id = each.id});
  }
  std::vector<std::uint32_t> table(places, 0);
  if (turns.empty()) return table;
  for (std::uint32_t taken = 0;;) {
    for (auto& turn : turns) {
      while (table[turn.next] != 0) turn.next = after(turn, places);
      table[turn.next] = turn.id;
      if (++taken == places) return table;
    }
  }
}

}  // namespace netkite::service
