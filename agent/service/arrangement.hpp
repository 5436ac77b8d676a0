// SPDX-License-Identifier: Apache-2.0
// How the backends of a set lie in its slots, what its entrances need besides, and what it takes to get there.
// Room-internal.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "agent/service/compiler.hpp"
#include "agent/service/table.hpp"

namespace netkite::service {

struct Member {
  Ip address;
  std::uint16_t port = 0;
  std::uint32_t id = 0;  // the backend's

  auto operator<=>(const Member&) const = default;
};

using Pieces = std::map<std::uint32_t, std::vector<std::uint32_t>>;  // of a Maglev table, by their numbers

// What the kernel has of a set, whatever sense it makes.
struct Former {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> slots;  // index and backend
  std::vector<Member> backends;
  std::vector<Cidr> ranges;
  Pieces pieces;
};

[[nodiscard]] Former former_of(std::span<const Member> members);

// The set's members in the order of its slots, with the fewest writes: who stays keeps its slot if it is one of the
// first, newcomers and the last ones fill the holes. `targets` as of targets_of(); `next` is the next backend's
// identifier.
[[nodiscard]] std::vector<Member> arrange(std::uint32_t set, Former former, std::span<const Target> targets,
                                          std::uint32_t& next, Changes& changes);
// The last piece is filled up from the table's beginning: while a table changes its size, who still reckons with the
// other one finds a backend all the same.
[[nodiscard]] Pieces pieces_of(std::span<const Member> members, std::uint32_t places);
void change_pieces(std::uint32_t set, const Pieces& former, const Pieces& wanted, Changes& changes);
// `wanted` is sorted.
void change_ranges(std::uint32_t set, std::vector<Cidr> former, const std::vector<Cidr>& wanted, Changes& changes);
void retire(std::uint32_t set, const Former& former, Changes& changes);

// Sets in the kernel that nobody has recognised yet.
class Leftovers {
 public:
  explicit Leftovers(const Table& table);

  [[nodiscard]] bool has(std::uint32_t set) const { return sets_.contains(set); }
  // Whether these are its backends, and there is nothing else of it.
  [[nodiscard]] bool leads_to(std::uint32_t set, std::span<const Target> targets) const;
  // Each set once.
  [[nodiscard]] std::optional<Former> take(std::uint32_t set);
  // The rest goes.
  void retire_all(Changes& changes) const;

 private:
  std::map<std::uint32_t, Former> sets_;
};

}  // namespace netkite::service
