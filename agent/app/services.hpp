// SPDX-License-Identifier: Apache-2.0
// Services from the cluster's objects, and pods' ports of the node, into the programs' maps.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/api/health_checks.hpp"
#include "agent/api/metrics.hpp"
#include "agent/config/options.hpp"
#include "agent/datapath/datapath.hpp"
#include "agent/endpoint/endpoint.hpp"
#include "agent/kube/manifests.hpp"
#include "agent/kube/node.hpp"
#include "agent/service/registry.hpp"
#include "common/base/result.hpp"

namespace netkite::app {

class Services {
 public:
  // The datapath outlives this. `ready` is told when waits() ends. What fails is tried again after `pause`.
  Services(boost::asio::io_context& context, const config::Options& options, datapath::Datapath& datapath,
           std::function<void()> ready, std::chrono::milliseconds pause = std::chrono::seconds(5));

  // What to follow. Nothing of theirs is written before both kinds have been told whole, and the own node is known.
  [[nodiscard]] std::vector<kube::Subscription> subscriptions();
  void set_own_node(const kube::Node& node);
  // The cluster has no object of it: what was known before stays, as what is open goes by it.
  void go_on_without_own_node();
  // What a former run knew of it: enough for ports of pods.
  void recall_own_node(const kube::Node& node);
  // A pod's ports of the node, served while the pod is ready. They wait for nothing of the cluster's.
  void take_host_ports(const endpoint::Endpoint& endpoint);
  // Who is told of changes. `gone`: among them backends that have gone, with whom somebody may still talk.
  void follow_changes(std::function<void(bool gone)> listener) { changed_ = std::move(listener); }
  void stop();

  // Nothing is in force, not even what a former run has left: without kube-proxy a pod would find no service.
  [[nodiscard]] bool waits() const { return waits_; }
  // All that the cluster had to say has come.
  [[nodiscard]] bool all_known() const { return services_synced_ && slices_synced_ && node_known_; }
  // One line each: objects that make no sense, what the kernel refused, frontends that two want, entrances
  // that there cannot be, ports that somebody else has.
  [[nodiscard]] std::vector<std::string> problems() const;
  [[nodiscard]] const service::Registry& registry() const { return registry_; }
  [[nodiscard]] const api::CallTimes& writes() const { return writes_; }

 private:
  void take_service(const std::string& key, const kube::Json& object);
  void take_slice(const std::string& key, const kube::Json& object);
  void schedule();
  void work();
  // How many frontends there are.
  [[nodiscard]] Result<std::size_t> adopt();
  // False: there was nothing to write. Says in in_force_ whether all is written that there is room for.
  [[nodiscard]] Result<bool> write();

  boost::asio::io_context& context_;
  boost::asio::steady_timer timer_;  // until what failed is tried again
  boost::asio::steady_timer rest_;   // until it may be, whatever has come
  std::chrono::steady_clock::time_point rested_{};
  std::chrono::milliseconds pause_;
  datapath::Datapath& datapath_;
  std::string node_name_;
  config::Services options_;
  service::Facts facts_;
  service::Registry registry_;
  api::HealthChecks health_checks_;
  std::map<std::string, std::string> unreadable_;  // by kind and key: why
  api::CallTimes writes_;
  std::string attach_trouble_, write_trouble_;
  bool leaving_ = false;  // the own node
  bool services_synced_ = false, slices_synced_ = false, node_known_ = false;
  std::function<void()> ready_;
  std::function<void(bool gone)> changed_;
  bool waits_ = true;
  bool attached_ = false, adopted_ = false, in_force_ = false, scheduled_ = false, stopped_ = false;
};

}  // namespace netkite::app
