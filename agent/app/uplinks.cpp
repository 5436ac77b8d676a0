// SPDX-License-Identifier: Apache-2.0
#include "agent/app/uplinks.hpp"

#include <net/if.h>

#include <algorithm>
#include <array>

namespace netkite::app {

namespace {

bool exists(std::uint32_t ifindex) {
  std::array<char, IF_NAMESIZE> name{};
  return ::if_indextoname(ifindex, name.data()) != nullptr;
}

}  // namespace

std::vector<std::string> Uplinks::follow(const std::vector<node::Uplink>& wanted) {
  std::vector<std::string> problems;
  for (auto each = attached_.begin(); each != attached_.end();) {
    const auto [ifindex, name] = *each;
    const bool is_uplink = std::ranges::find(wanted, ifindex, &node::Uplink::ifindex) != wanted.end();
    if (is_uplink || exists(ifindex)) {
      ++each;
      continue;
    }
    if (auto detached = datapath_.detach_uplink(ifindex, name); !detached) {
      problems.push_back("former uplink " + name + ": " + detached.error().message);
    }
    each = attached_.erase(each);
  }
  for (const auto& uplink : wanted) {
    if (attached_.contains(uplink.ifindex)) continue;
    if (auto attached = datapath_.attach_uplink(uplink.ifindex, uplink.name)) {
      attached_.emplace(uplink.ifindex, uplink.name);
    } else {
      problems.push_back("uplink " + uplink.name + ": " + attached.error().message);
    }
  }
  return problems;
}

bool Uplinks::has_all(const std::vector<node::Uplink>& wanted) const {
  return std::ranges::all_of(wanted, [this](const node::Uplink& uplink) { return attached_.contains(uplink.ifindex); });
}

std::vector<std::uint32_t> Uplinks::ifindexes() const {
  std::vector<std::uint32_t> indexes;
  for (const auto& [ifindex, name] : attached_) indexes.push_back(ifindex);
  return indexes;
}

}  // namespace netkite::app
