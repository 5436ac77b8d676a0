// SPDX-License-Identifier: Apache-2.0
#include "agent/app/reload.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "agent/config/loader.hpp"

namespace netkite::app {
namespace {

std::vector<Cidr> without(const std::vector<Cidr>& from, const std::vector<Cidr>& these) {
  const std::set<Cidr> a(from.begin(), from.end());
  const std::set<Cidr> b(these.begin(), these.end());
  std::vector<Cidr> rest;
  std::ranges::set_difference(a, b, std::back_inserter(rest));
  return rest;
}

}  // namespace

Result<Reload> plan_reload(const config::Options& running, const config::Options& fresh) {
  config::Options merged = running;
  merged.peers = fresh.peers;
  merged.masquerade = fresh.masquerade;
  merged.masquerade.mode = running.masquerade.mode;  // a constant of the programs
  merged.prefilter.deny = fresh.prefilter.deny;
  merged.log_level = fresh.log_level;
  std::string keys;
  for (const auto& path : config::differences(merged, fresh)) keys += (keys.empty() ? "" : ", ") + path;
  if (!keys.empty()) return fail(Code::invalid, "these changes need a restart: " + keys);
  return Reload{
      .options = std::move(merged),
      .deny = without(fresh.prefilter.deny, running.prefilter.deny),
      .undeny = without(running.prefilter.deny, fresh.prefilter.deny),
  };
}

}  // namespace netkite::app
