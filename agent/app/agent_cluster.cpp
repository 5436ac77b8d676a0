// SPDX-License-Identifier: Apache-2.0
// The agent in a cluster: pools and peers follow the Node objects.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>

#include "agent/app/agent.hpp"

namespace netkite::app {
namespace {

constexpr std::size_t kMostProblems = 20;

std::string text_of(const std::vector<Cidr>& prefixes) {
  std::string text;
  for (const auto& prefix : prefixes) text += (text.empty() ? "" : ", ") + prefix.to_string();
  return text;
}

}  // namespace

// Before anything else is built: a node whose API server is away goes on with what it has known.
void Agent::recall_cluster() {
  cluster_.emplace(context_, options_,
                   Cluster::Listener{.changed = [this] { follow_cluster(); },
                                     .own_node =
                                         [this](const kube::Node& node) {
                                           if (services_) services_->set_own_node(node);
                                           if (connections_) connections_->set_own_node(node);
                                         },
                                     .no_own_node =
                                         [this] {
                                           if (services_) services_->go_on_without_own_node();
                                         },
                                     .pod =
                                         [this](const kube::Pod& pod) {
                                           manager_->set_pod({pod.space, pod.name},
                                                             {.uids = pod.uids, .labels = pod.labels});
                                         },
                                     .pod_gone =
                                         [this](const std::string& key) {
                                           const auto slash = key.find('/');
                                           manager_->forget_pod({key.substr(0, slash), key.substr(slash + 1)});
                                         }});
  const auto memory = cluster_->recall();
  if (!memory) {
    if (memory.error().code != Code::not_found) spdlog::warn("{}", memory.error().message);
    return;
  }
  options_.pools = memory->pools;
  options_.peers = peers_of(memory->nodes, options_.node_name, options_.pools, cluster_problems_);
  if (const auto own = memory->nodes.find(options_.node_name); own != memory->nodes.end()) remembered_ = own->second;
  spdlog::info("{} nodes known from before", memory->nodes.size());
}

// Neither the server nor a former run has told of any node, as when the file is lost. What the kernel has stays then:
// live pods go by it.
bool Agent::knows_nobody() const { return cluster_ && !cluster_->synced() && options_.pools.empty(); }

// Uplinks may be found by the peers behind them.
void Agent::remove_stale() {
  if (!stale_due_ || knows_nobody()) return;
  stale_due_ = false;
  auto live = manager_->host_ifindexes();
  std::ranges::copy(uplinks_->ifindexes(), std::back_inserter(live));
  if (overlay_ != 0) live.push_back(overlay_);
  if (auto removed = datapath_->remove_stale(live); !removed) spdlog::warn("{}", removed.error().message);
}

std::string Agent::not_ready() const {
  if (!cluster_) return {};
  if (!pools_wait_.empty()) return pools_wait_;
  const bool waits = services_ && services_->waits();
  if (!options_.pools.empty() && !waits) return {};
  const auto why = cluster_->problems();
  const std::string what = options_.pools.empty() ? "this node's podCIDRs are" : "the cluster's Services are";
  return what + " not known yet" + (why.empty() ? "" : ": " + why.front());
}

void Agent::follow_cluster() {
  auto problems = cluster_->problems();
  if (cluster_->synced()) {
    auto more = take_over_cluster();
    std::ranges::move(more, std::back_inserter(problems));
  }
  // Thousands of nodes may share one mistake.
  if (problems.size() > kMostProblems) {
    const auto more = problems.size() - kMostProblems;
    problems.resize(kMostProblems);
    problems.push_back("kubernetes: " + std::to_string(more) + " more problems with nodes");
  }
  cluster_problems_ = std::move(problems);
  manager_->suspend(not_ready());
  reconcile();
}

std::vector<std::string> Agent::take_over_cluster() {
  std::vector<std::string> problems;
  const auto former_pools = options_.pools;
  if (auto taken = take_over_pools(); !taken) problems.push_back(taken.error().message);
  auto peers = peers_of(cluster_->nodes(), options_.node_name, options_.pools, problems);
  const bool same = peers == options_.peers && options_.pools == former_pools;
  options_.peers = std::move(peers);
  if (!same) masquerade_due_ = memory_due_ = true;
  // Where host ports are open goes by its addresses, which may come after its podCIDRs.
  const auto own = cluster_->nodes().find(options_.node_name);
  if (own != cluster_->nodes().end() && remembered_ != own->second) {
    remembered_ = own->second;
    memory_due_ = true;
  }
  if (auto forwarding = node::apply_forwarding(options_); !forwarding) problems.push_back(forwarding.error().message);
  if (memory_due_) {
    const auto kept = cluster_->remember(options_.pools);
    if (!kept) problems.push_back(kept.error().message);
    memory_due_ = !kept;
  }
  return problems;
}

// It may have been the last one with an address of the former podCIDRs.
void Agent::follow_end() {
  if (!pools_wait_.empty()) cluster_->announce();
}

// A node's podCIDRs are given once. When its object is made anew they may be other ones: those of pods that live must
// not be given away, and no new pod may get one that nobody sends to any more.
Result<void> Agent::take_over_pools() {
  pools_wait_.clear();
  const auto pools = pools_of(cluster_->nodes(), options_.node_name);
  if (!pools) {
    if (options_.pools.empty()) pools_wait_ = pools.error().message;
    return wrap(pools.error(), options_.pools.empty() ? "no pods yet" : text_of(options_.pools) + " stay in use");
  }
  if (*pools == options_.pools) return {};
  if (auto set = manager_->set_pools(*pools); !set) {
    pools_wait_ = "this node's podCIDRs have become " + text_of(*pools) + ": " + set.error().message +
                  "; no new pods until those have gone";
    return fail(Code::unavailable, pools_wait_);
  }
  options_.pools = *pools;
  spdlog::info("pods get their addresses from {}", text_of(*pools));
  return {};
}

}  // namespace netkite::app
