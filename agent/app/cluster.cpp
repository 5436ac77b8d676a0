// SPDX-License-Identifier: Apache-2.0
#include "agent/app/cluster.hpp"

#include <fstream>
#include <iterator>
#include <set>

#include "common/base/file.hpp"

namespace netkite::app {
namespace {

// Nodes come in swarms, and what follows from a change costs the same for one as for all.
constexpr auto kClusterDebounce = std::chrono::milliseconds(200);

// "/api/v1/nodes" is "nodes"
std::string name_of(const kube::Resource& resource) { return resource.path.substr(resource.path.rfind('/') + 1); }

}  // namespace

Cluster::Cluster(boost::asio::io_context& context, const config::Options& options, Listener listener)
    : context_(context),
      name_(options.node_name),
      file_(options.run_dir + "/cluster.json"),
      manifests_folder_(options.kubernetes.manifests),
      source_{.kubeconfig = options.kubernetes.kubeconfig, .server = options.kubernetes.server},
      listener_(std::move(listener)),
      timer_(context),
      report_ready_(options.kubernetes.report_ready) {
  if (manifests_folder_.empty()) {
    announcer_.emplace(context, source_, name_, [this] { announce(); }, Announcer::Pauses());
  }
  follow({.resource = kube::nodes(), .events = node_events()});
  follow({.resource = kube::pods_on(name_), .events = pod_events()});
  troubles_["nodes"] = "not asked yet";
}

void Cluster::follow(kube::Subscription subscription) {
  subscription.events.state = [this, name = name_of(subscription.resource)](const std::string& trouble) {
    auto& known = troubles_[name];
    if (known == trouble) return;
    known = trouble;
    announce();
  };
  subscriptions_.push_back(std::move(subscription));
}

std::vector<boost::asio::awaitable<void>> Cluster::tasks() {
  std::vector<boost::asio::awaitable<void>> tasks;
  if (announcer_) tasks.push_back(announcer_->run());
  if (!manifests_folder_.empty()) {
    manifests_.emplace(context_, manifests_folder_, std::move(subscriptions_));
    tasks.push_back(manifests_->run());
    return tasks;
  }
  for (auto& [resource, events] : subscriptions_) {
    auto name = name_of(resource);
    watches_.push_back({.name = std::move(name),
                        .reflector = kube::Reflector(context_, source_, std::move(resource), std::move(events))});
    tasks.push_back(watches_.back().reflector.run());
  }
  subscriptions_.clear();
  return tasks;
}

kube::Events Cluster::node_events() {
  return {
      .changed = [this](const std::string& key, const kube::Json& object) { take_node(key, object); },
      .removed =
          [this](const std::string& key) {
            nodes_.erase(key);
            unreadable_.erase(key);
            if (announcer_ && key == name_) announcer_->set_marks({});
            announce();
          },
      .synced =
          [this] {
            synced_ = true;
            if (!nodes_.contains(name_)) listener_.no_own_node();
            announce();
          },
      .state = {},
  };
}

kube::Events Cluster::pod_events() {
  return {
      .changed = [this](const std::string& key, const kube::Json& object) { take_pod(key, object); },
      .removed =
          [this](const std::string& key) {
            unreadable_.erase("pod " + key);
            listener_.pod_gone(key);
          },
      .synced = [] {},
      .state = {},
  };
}

void Cluster::take_node(const std::string& key, const kube::Json& object) {
  if (announcer_ && key == name_) announcer_->set_marks(kube::marks_from(object));
  auto node = kube::node_from(object);
  if (!node) {
    // What was known of it stays: a mistake in an object must not cut its pods off.
    unreadable_[key] = node.error().message;
    return announce();
  }
  const bool was_unreadable = unreadable_.erase(key) > 0;
  auto& known = nodes_[key];
  // Most changes are the kubelet's sign of life.
  if (known == *node && !was_unreadable) return;
  known = *std::move(node);
  if (key == name_) listener_.own_node(known);
  announce();
}

void Cluster::take_pod(const std::string& key, const kube::Json& object) {
  auto pod = kube::pod_from(object);
  if (!pod) {
    unreadable_["pod " + key] = pod.error().message;
    return announce();
  }
  if (unreadable_.erase("pod " + key) > 0) announce();
  listener_.pod(*pod);
}

void Cluster::set_ready(bool ready) {
  if (announcer_) announcer_->set_ready(ready && synced_ && report_ready_);
}

std::vector<api::NodeStatus::Watch> Cluster::watches() const {
  std::vector<api::NodeStatus::Watch> watches;
  for (const auto& [name, reflector] : watches_) {
    const auto pulse = reflector.pulse();
    const std::chrono::duration<double> lag = std::chrono::steady_clock::now() - pulse.heard;
    watches.push_back({.resource = name, .objects = pulse.objects, .events = pulse.events, .lag_s = lag.count()});
  }
  return watches;
}

void Cluster::announce() {
  if (announced_ || stopped_) return;
  announced_ = true;
  timer_.expires_after(kClusterDebounce);
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    announced_ = false;
    if (!cancelled) listener_.changed();
  });
}

void Cluster::stop() {
  stopped_ = true;
  timer_.cancel();
  if (announcer_) announcer_->stop();
  for (auto& watch : watches_) watch.reflector.stop();
  if (manifests_) manifests_->stop();
}

std::vector<std::string> Cluster::problems() const {
  std::vector<std::string> lines;
  // What ails all of them is said once.
  std::set<std::string> troubles;
  for (const auto& [resource, trouble] : troubles_) {
    if (!trouble.empty() && troubles.insert(trouble).second) lines.push_back("kubernetes: " + trouble);
  }
  if (announcer_ && !announcer_->trouble().empty()) lines.push_back("kubernetes: " + announcer_->trouble());
  for (const auto& [name, why] : unreadable_) lines.push_back("kubernetes: " + why);
  return lines;
}

Result<Cluster::Memory> Cluster::recall() const {
  std::ifstream file(file_);
  if (!file) return fail(Code::not_found, "no " + file_);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto json = kube::Json::parse(text, nullptr, false);
  Memory memory;
  try {
    if (json.at("node_name") != name_) return fail(Code::invalid, file_ + " is of another node");
    for (const auto& pool : json.at("pools")) {
      const auto prefix = Cidr::parse(pool.get<std::string>());
      if (!prefix) return wrap(prefix.error(), file_);
      memory.pools.push_back(*prefix);
    }
    for (const auto& each : json.at("nodes")) {
      auto node = kube::node_from(each);
      if (!node) return wrap(node.error(), file_);
      auto name = node->name;
      memory.nodes.emplace(std::move(name), *std::move(node));
    }
  } catch (const kube::Json::exception& error) {
    return fail(Code::invalid, file_ + ": " + error.what());
  }
  return memory;
}

Result<void> Cluster::remember(const std::vector<Cidr>& pools) const {
  auto json = kube::Json{{"node_name", name_}, {"pools", kube::Json::array()}, {"nodes", kube::Json::array()}};
  for (const auto& pool : pools) json["pools"].push_back(pool.to_string());
  for (const auto& [name, node] : nodes_) json["nodes"].push_back(kube::to_json(node));
  return replace_file(file_, json.dump(-1, ' ', false, kube::Json::error_handler_t::replace));
}

}  // namespace netkite::app
