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

Cluster::Cluster(boost::asio::io_context& context, const config::Options& options, std::function<void()> changed)
    : name_(options.node_name),
      file_(options.run_dir + "/cluster.json"),
      changed_(std::move(changed)),
      timer_(context),
      report_ready_(options.kubernetes.report_ready),
      announcer_(context, source_of(options), options.node_name, [this] { announce(); }, {}),
      reflector_(context, source_of(options), kube::nodes(), events()) {}

kube::Events Cluster::events() {
  return {
      .changed = [this](const std::string& key, const kube::Json& object) { take(key, object); },
      .removed =
          [this](const std::string& key) {
            nodes_.erase(key);
            unreadable_.erase(key);
            if (key == name_) announcer_.set_marks({});
            announce();
          },
      .synced =
          [this] {
            synced_ = true;
            announce();
          },
      .state =
          [this](const std::string& trouble) {
            if (trouble_ == trouble) return;
            trouble_ = trouble;
            announce();
          },
  };
}

void Cluster::take(const std::string& key, const kube::Json& object) {
  if (key == name_) announcer_.set_marks(kube::marks_from(object));
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

void Cluster::announce() {
  if (announced_ || stopped_) return;
  announced_ = true;
  timer_.expires_after(kClusterDebounce);
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    announced_ = false;
    if (!cancelled) changed_();
  });
}

void Cluster::stop() {
  stopped_ = true;
  timer_.cancel();
  announcer_.stop();
  reflector_.stop();
}

std::vector<std::string> Cluster::problems() const {
  std::vector<std::string> lines;
  if (!trouble_.empty()) lines.push_back("kubernetes: " + trouble_);
  if (!announcer_.trouble().empty()) lines.push_back("kubernetes: " + announcer_.trouble());
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
