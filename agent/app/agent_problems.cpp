// SPDX-License-Identifier: Apache-2.0
// What is wrong on this node, as the log and status say it.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>

#include "agent/app/agent.hpp"

namespace netkite::app {

std::vector<std::string> Agent::open_problems() const {
  auto all = problems_;
  std::ranges::copy(datapath_->problems(), std::back_inserter(all));
  if (services_) std::ranges::copy(services_->problems(), std::back_inserter(all));
  if (stale_sockets_) std::ranges::copy(stale_sockets_->problems(), std::back_inserter(all));
  if (connections_) std::ranges::copy(connections_->problems(), std::back_inserter(all));
  return all;
}

// Said when they come and when they go, not every time that they are still there.
void Agent::set_problems(std::vector<std::string> problems) {
  std::ranges::copy(cluster_problems_, std::back_inserter(problems));
  problems_ = std::move(problems);
  auto all = view_.problems;
  std::ranges::move(open_problems(), std::back_inserter(all));
  // Thousands of peers may have one each.
  const std::set<std::string_view> before(said_.begin(), said_.end());
  const std::set<std::string_view> now(all.begin(), all.end());
  for (const auto& line : all) {
    if (!before.contains(line)) spdlog::warn("{}", line);
  }
  for (const auto& line : said_) {
    if (!now.contains(line)) spdlog::info("no longer: {}", line);
  }
  said_ = std::move(all);
}

}  // namespace netkite::app
