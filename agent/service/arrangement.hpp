// SPDX-License-Identifier: Apache-2.0
// How the backends of a set lie in its slots, and what it takes to get there. Room-internal.
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

// What the kernel has of a set, whatever sense it makes.
struct Former {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> slots;  // index and backend
  std::vector<Member> backends;
};

[[nodiscard]] Former former_of(std::span<const Member> members);

// The set's members in the order of its slots, with the fewest writes: who stays keeps its slot if it is one of the
// first, newcomers and the last ones fill the holes. `targets` as of targets_of(); `next` is the next backend's
// identifier.
[[nodiscard]] std::vector<Member> arrange(std::uint32_t set, Former former, std::span<const Target> targets,
                                          std::uint32_t& next, Changes& changes);
void retire(std::uint32_t set, const Former& former, Changes& changes);

// Sets in the kernel that nobody has recognised yet.
class Leftovers {
 public:
  explicit Leftovers(const Table& table);

  // Each set once.
  [[nodiscard]] std::optional<Former> take(std::uint32_t set);
  // The rest goes.
  void retire_all(Changes& changes) const;

 private:
  std::map<std::uint32_t, Former> sets_;
};

}  // namespace netkite::service
