// SPDX-License-Identifier: Apache-2.0
#include "kernel-patches/tests/model.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

namespace netkite::kernel_tests {
namespace {

constexpr int kUnset = -1000;

// What the relative descriptor or id resolves to; `program` 0: nothing was named.
struct Relative {
  char program = 0;
  bool link = false;
};

int resolve(const Request& request, Relative& relative) {
  switch (request.by) {
    case By::nothing:
      return 0;
    case By::unknown_id:
    case By::unknown_link_id:
      return ENOENT;
    case By::no_link:
    case By::wrong_kind:
      return EINVAL;
    case By::program_fd:
    case By::program_id:
      relative = {.program = request.relative, .link = false};
      return 0;
    case By::link_fd:
    case By::link_id:
      relative = {.program = request.relative, .link = true};
      return 0;
  }
  return EINVAL;
}

int find(const Chain& chain, const Relative& relative) {
  const auto found = std::ranges::find_if(
      chain, [&](const Entry& entry) { return entry.program == relative.program && (!relative.link || entry.link); });
  return found == chain.end() ? -1 : static_cast<int>(found - chain.begin());
}

// One rule's opinion where the entry goes: `place` is what the rules before it said. All must agree.
int agree(int& place, bool found, int wanted) {
  if (!found) return ENOENT;
  if (place != kUnset && place != wanted) return ERANGE;
  place = wanted;
  return 0;
}

// The rules of before and after. In front of the first is -1, behind the last is the size.
int place_of(const Chain& chain, const Request& request, const Relative& relative, int& place) {
  const int size = static_cast<int>(chain.size());
  const int beside = relative.program == 0 ? -1 : find(chain, relative);
  const bool found = relative.program == 0 || beside >= 0;
  if (request.before) {
    if (const int error = agree(place, found, relative.program == 0 ? -1 : beside - 1); error != 0) return error;
  }
  if (request.after) {
    if (const int error = agree(place, found, relative.program == 0 ? size : beside + 1); error != 0) return error;
  }
  if (place != kUnset) return 0;
  // Naming a neighbour without saying which side is meaningless.
  if (request.by != By::nothing) return EINVAL;
  place = size;
  return 0;
}

// The entry that is meant exactly: who owns it through a link does not give it away.
int exact(const Chain& chain, char program, bool link, int& place) {
  const int found = find(chain, {.program = program, .link = false});
  if (found < 0) return ENOENT;
  if (chain[static_cast<std::size_t>(found)].link != link) return EBUSY;
  place = found;
  return 0;
}

}  // namespace

int attach(Chain& chain, const Request& request) {
  if (request.revision == Revision::wrong) return ESTALE;
  if (find(chain, {.program = request.entry.program, .link = false}) >= 0) return EEXIST;
  Relative relative;
  if (const int error = resolve(request, relative); error != 0) return error;
  int place = kUnset;
  if (request.replaced) {
    // A link replaces its own program by an update, never another's entry.
    if (request.entry.link) return ENOENT;
    if (const int error = exact(chain, *request.replaced, false, place); error != 0) return error;
  } else if (chain.size() == kMaximum) {
    return ERANGE;
  }
  if (const int error = place_of(chain, request, relative, place); error != 0) return error;
  if (request.replaced) {
    chain[static_cast<std::size_t>(place)] = request.entry;
    return 0;
  }
  if (request.before) ++place;
  chain.insert(chain.begin() + place, request.entry);
  return 0;
}

int detach(Chain& chain, const Request& request) {
  if (chain.empty()) return ENOENT;
  if (request.replaced) return EINVAL;
  if (request.revision == Revision::wrong) return ESTALE;
  Relative relative;
  if (const int error = resolve(request, relative); error != 0) return error;
  int place = kUnset;
  if (request.entry.program != 0) {
    if (const int error = exact(chain, request.entry.program, false, place); error != 0) return error;
  }
  if (const int error = place_of(chain, request, relative, place); error != 0) return error;
  // Behind the last of a full hook is no place, not even to take away from.
  if (place == static_cast<int>(kMaximum)) return ERANGE;
  const int index = std::clamp(place, 0, static_cast<int>(chain.size()) - 1);
  if (chain[static_cast<std::size_t>(index)].link) return EBUSY;
  chain.erase(chain.begin() + index);
  return 0;
}

std::string to_string(const Chain& chain) {
  std::string text;
  for (const auto& entry : chain)
    text += entry.link ? "[" + std::string(1, entry.program) + "]" : std::string(1, entry.program);
  return text;
}

std::string to_string(const Request& request) {
  constexpr std::array kBy{"",
                           " program fd ",
                           " program id ",
                           " link fd ",
                           " link id ",
                           " unknown id",
                           " unknown link id",
                           " link, without one",
                           " fd of the wrong kind"};
  constexpr std::array kRevision{"", ", right revision", ", wrong revision"};
  std::string text = request.entry.program == 0 ? "unnamed" : to_string(Chain{request.entry});
  if (request.replaced) text += std::string(" in place of ") + *request.replaced;
  if (request.before) text += " before";
  if (request.after) text += " after";
  text += kBy.at(static_cast<std::size_t>(request.by));
  if (request.relative != 0) text += request.relative;
  return text + kRevision.at(static_cast<std::size_t>(request.revision));
}

}  // namespace netkite::kernel_tests
