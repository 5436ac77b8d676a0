// SPDX-License-Identifier: Apache-2.0
#include "agent/service/arrangement.hpp"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "agent/service/maglev.hpp"

namespace netkite::service {
namespace {

template <typename T>
auto place_of(const T& each) {
  return std::tie(each.address, each.port);
}

// The targets with their identifiers. Both lists are sorted, so one walk finds what stays, comes and goes; of several
// with the same place the first one stays.
std::vector<Member> identified(std::uint32_t set, std::span<const Member> former, std::span<const Target> targets,
                               std::uint32_t& next, Changes& changes) {
  std::vector<Member> wanted;
  wanted.reserve(targets.size());
  auto old = former.begin();
  const auto drop_until = [&](auto is_wanted) {
    for (; old != former.end() && !is_wanted(*old); ++old) changes.gone_backends.push_back(old->id);
  };
  for (const auto& target : targets) {
    drop_until([&](const Member& each) { return place_of(each) >= place_of(target); });
    if (old != former.end() && place_of(*old) == place_of(target)) {
      wanted.push_back(*old++);
      continue;
    }
    wanted.push_back({.address = target.address, .port = target.port, .id = next++});
    changes.backends.push_back({wanted.back().id, {.set = set, .address = target.address, .port = target.port}});
  }
  drop_until([](const Member&) { return false; });
  return wanted;
}

}  // namespace

Former former_of(std::span<const Member> members) {
  Former former{.slots = {}, .backends = {members.begin(), members.end()}, .ranges = {}, .pieces = {}};
  former.slots.reserve(members.size());
  for (std::uint32_t i = 0; i < members.size(); ++i) former.slots.emplace_back(i, members[i].id);
  return former;
}

std::vector<Member> arrange(std::uint32_t set, Former former, std::span<const Target> targets, std::uint32_t& next,
                            Changes& changes) {
  std::ranges::sort(former.backends);
  auto wanted = identified(set, former.backends, targets, next, changes);
  std::unordered_map<std::uint32_t, Member*> homeless;
  for (auto& each : wanted) homeless.emplace(each.id, &each);

  std::vector<Member> members(wanted.size());
  for (const auto& [index, id] : former.slots) {
    if (index >= members.size()) {
      changes.gone_slots.push_back({.set = set, .index = index});
    } else if (const auto node = homeless.extract(id)) {
      members[index] = *node.mapped();
    }
  }
  std::uint32_t hole = 0;
  for (const auto& each : wanted) {
    if (!homeless.contains(each.id)) continue;
    while (members[hole].id != 0) ++hole;
    members[hole] = each;
    changes.slots.push_back({{.set = set, .index = hole}, each.id});
  }
  return members;
}

Pieces pieces_of(std::span<const Member> members, std::uint32_t places) {
  Pieces pieces;
  if (places == 0) return pieces;
  auto table = maglev_table(members, places);
  const std::size_t count = (places - 1) / kMaglevPiece + 1;
  for (std::size_t i = 0; table.size() < count * kMaglevPiece; ++i) table.push_back(table[i]);
  for (auto first = table.begin(); first != table.end(); first += kMaglevPiece) {
    pieces.emplace_hint(pieces.end(), pieces.size(), std::vector<std::uint32_t>(first, first + kMaglevPiece));
  }
  return pieces;
}

void change_pieces(std::uint32_t set, const Pieces& former, const Pieces& wanted, Changes& changes) {
  for (const auto& [piece, backends] : wanted) {
    const auto old = former.find(piece);
    if (old == former.end() || old->second != backends) {
      changes.maglev.push_back({{.set = set, .piece = piece}, backends});
    }
  }
  for (const auto& [piece, backends] : former) {
    if (!wanted.contains(piece)) changes.gone_maglev.push_back({.set = set, .piece = piece});
  }
}

void change_ranges(std::uint32_t set, std::vector<Cidr> former, const std::vector<Cidr>& wanted, Changes& changes) {
  std::ranges::sort(former);
  const auto note = [set](const std::vector<Cidr>& some, const std::vector<Cidr>& others, std::vector<Range>& list) {
    for (const auto& each : some) {
      if (!std::ranges::binary_search(others, each)) list.push_back({.set = set, .clients = each});
    }
  };
  note(wanted, former, changes.ranges);
  note(former, wanted, changes.gone_ranges);
}

void retire(std::uint32_t set, const Former& former, Changes& changes) {
  change_ranges(set, former.ranges, {}, changes);
  change_pieces(set, former.pieces, {}, changes);
  for (const auto& [index, id] : former.slots) changes.gone_slots.push_back({.set = set, .index = index});
  for (const auto& backend : former.backends) changes.gone_backends.push_back(backend.id);
}

Leftovers::Leftovers(const Table& table) {
  for (const auto& [frontend, entry] : table.frontends) sets_[entry.set];
  for (const auto& [frontend, entry] : table.entrances) sets_[entry.set];
  for (const auto& range : table.ranges) sets_[range.set].ranges.push_back(range.clients);
  for (const auto& [piece, backends] : table.maglev) sets_[piece.set].pieces.emplace(piece.piece, backends);
  for (const auto& [slot, id] : table.slots) sets_[slot.set].slots.emplace_back(slot.index, id);
  for (const auto& [id, backend] : table.backends) {
    // Nothing of ours is called 0.
    sets_[id == 0 ? 0 : backend.set].backends.push_back({.address = backend.address, .port = backend.port, .id = id});
  }
}

bool Leftovers::leads_to(std::uint32_t set, std::span<const Target> targets) const {
  const auto found = sets_.find(set);
  if (found == sets_.end() || !found->second.ranges.empty() || !found->second.pieces.empty()) return false;
  return std::ranges::is_permutation(found->second.backends, targets, {}, place_of<Member>, place_of<Target>);
}

std::optional<Former> Leftovers::take(std::uint32_t set) {
  if (set == 0) return std::nullopt;
  auto node = sets_.extract(set);
  if (!node) return std::nullopt;
  return std::move(node.mapped());
}

void Leftovers::retire_all(Changes& changes) const {
  for (const auto& [set, former] : sets_) retire(set, former, changes);
}

}  // namespace netkite::service
