// SPDX-License-Identifier: Apache-2.0
#include "agent/app/cluster.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>

namespace netkite::app {
namespace {

// Nodes come in swarms, and what follows from a change costs the same for one as for all.
constexpr auto kClusterDebounce = std::chrono::milliseconds(200);

kube::Source source_of(const config::Options& options) {
  return {.kubeconfig = options.kubernetes.kubeconfig, .server = options.kubernetes.server};
}

}  // namespace

Cluster::Cluster(boost::asio::io_context& context, const config::Options& options, Listener listener)
    : name_(options.node_name),
      file_(options.run_dir + "/cluster.json"),
      listener_(std::move(listener)),
      timer_(context),
      report_ready_(options.kubernetes.report_ready) {
  if (const auto& folder = options.kubernetes.manifests; !folder.empty()) {
    manifests_.emplace(context, folder,
                       std::vector<kube::Subscription>{{.resource = kube::nodes(), .events = node_events()},
                                                       {.resource = kube::pods_on(name_), .events = pod_events()}});
    return;
  }
  const auto source = source_of(options);
  announcer_.emplace(context, source, name_, [this] { announce(); }, Announcer::Pauses());
  nodes_watch_.emplace(context, source, kube::nodes(), node_events());
  pods_watch_.emplace(context, source, kube::pods_on(name_), pod_events());
}

std::vector<boost::asio::awaitable<void>> Cluster::tasks() {
  std::vector<boost::asio::awaitable<void>> tasks;
  if (manifests_) tasks.push_back(manifests_->run());
  if (nodes_watch_) tasks.push_back(nodes_watch_->run());
  if (pods_watch_) tasks.push_back(pods_watch_->run());
  if (announcer_) tasks.push_back(announcer_->run());
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
            announce();
          },
      .state = [this](const std::string& trouble) { set_trouble(nodes_trouble_, trouble); },
  };
}

kube::Events Cluster::pod_events() {
  return {
      .changed = [this](const std::string& key, const kube::Json& object) { take_pod(key, object); },
      .removed =
          [this](const std::string& key) {
            unreadable_.erase("pod " + key);
            if (const auto gone = pods_.extract(key); !gone.empty()) listener_.pod_gone(gone.mapped());
          },
      .synced = [] {},
      .state = [this](const std::string& trouble) { set_trouble(pods_trouble_, trouble); },
  };
}

void Cluster::set_trouble(std::string& which, const std::string& trouble) {
  if (which == trouble) return;
  which = trouble;
  announce();
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
  announce();
}

void Cluster::take_pod(const std::string& key, const kube::Json& object) {
  auto pod = kube::pod_from(object);
  if (!pod) {
    unreadable_["pod " + key] = pod.error().message;
    return announce();
  }
  if (unreadable_.erase("pod " + key) > 0) announce();
  auto& known = pods_[key];
  if (known == *pod) return;
  known = *std::move(pod);
  listener_.pod(known);
}

void Cluster::set_ready(bool ready) {
  if (announcer_) announcer_->set_ready(ready && synced_ && report_ready_);
}

std::vector<Cluster::Watch> Cluster::watches() const {
  std::vector<Watch> watches;
  if (nodes_watch_) watches.push_back({.resource = "nodes", .pulse = nodes_watch_->pulse()});
  if (pods_watch_) watches.push_back({.resource = "pods", .pulse = pods_watch_->pulse()});
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
  if (nodes_watch_) nodes_watch_->stop();
  if (pods_watch_) pods_watch_->stop();
  if (manifests_) manifests_->stop();
}

std::vector<std::string> Cluster::problems() const {
  std::vector<std::string> lines;
  if (!nodes_trouble_.empty()) lines.push_back("kubernetes: " + nodes_trouble_);
  // What ails both is said once.
  if (!pods_trouble_.empty() && pods_trouble_ != nodes_trouble_) lines.push_back("kubernetes: " + pods_trouble_);
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
  const auto fresh = file_ + ".new";
  std::ofstream file(fresh);
  file << json.dump(-1, ' ', false, kube::Json::error_handler_t::replace) << std::flush;
  std::error_code error;
  if (file.good()) std::filesystem::rename(fresh, file_, error);
  if (!file.good() || error) return fail(Code::io, "write " + file_);
  return {};
}

}  // namespace netkite::app
