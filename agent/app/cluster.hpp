// SPDX-License-Identifier: Apache-2.0
// The cluster as this agent knows it: the Node objects, its own node's pods and what others ask for, followed while the
// API server is there or in a folder of manifests. The nodes are kept in a file for the time when it is not there.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/api/handlers.hpp"
#include "agent/app/announcer.hpp"
#include "agent/app/membership.hpp"
#include "agent/config/options.hpp"
#include "agent/kube/manifests.hpp"
#include "agent/kube/pod.hpp"
#include "agent/kube/reflector.hpp"
#include "common/base/result.hpp"

namespace netkite::app {

class Cluster {
 public:
  // What a former run of this boot has known.
  struct Memory {
    std::vector<Cidr> pools;
    Nodes nodes;
  };

  struct Listener {
    std::function<void()> changed;                    // nodes() or problems(), at most a few times a second
    std::function<void(const kube::Node&)> own_node;  // new, or another one
    std::function<void()> no_own_node;                // all nodes are known, and it is not among them
    std::function<void(const kube::Pod&)> pod;        // new, another one, or the same again
    std::function<void(const std::string& key)> pod_gone;
  };
  Cluster(boost::asio::io_context& context, const config::Options& options, Listener listener);

  // From <run_dir>/cluster.json. not_found: there is none; invalid: of another node, or damaged.
  [[nodiscard]] Result<Memory> recall() const;
  // `pools` are those in use, which a change of the Node object does not always change.
  [[nodiscard]] Result<void> remember(const std::vector<Cidr>& pools) const;

  // Before tasks(). The resource's state is looked after here.
  void follow(kube::Subscription subscription);
  // Each to be spawned once; they end after stop().
  [[nodiscard]] std::vector<boost::asio::awaitable<void>> tasks();
  void stop();

  // Those on the API server.
  [[nodiscard]] std::vector<api::NodeStatus::Watch> watches() const;

  // Lets `changed` follow, once for many.
  void announce();

  // All nodes of the server, once it has named all of them.
  [[nodiscard]] bool synced() const { return synced_; }
  [[nodiscard]] const Nodes& nodes() const { return nodes_; }
  // Pods can be made here, and what the server knows has been taken over. Not all of it: nothing happens.
  void set_ready(bool ready);
  // One line each: why the server cannot be followed or told, nodes that make no sense.
  [[nodiscard]] std::vector<std::string> problems() const;

 private:
  [[nodiscard]] kube::Events node_events();
  [[nodiscard]] kube::Events pod_events();
  void take_node(const std::string& key, const kube::Json& object);
  void take_pod(const std::string& key, const kube::Json& object);

  struct Watch {
    std::string name;  // "nodes"
    kube::Reflector reflector;
  };

  boost::asio::io_context& context_;
  std::string name_, file_, manifests_folder_;
  kube::Source source_;
  Listener listener_;
  boost::asio::steady_timer timer_;
  bool announced_ = false, stopped_ = false, synced_ = false, report_ready_;
  std::map<std::string, std::string> troubles_;  // by resource: why it is not followed
  Nodes nodes_;
  std::map<std::string, std::string> unreadable_;  // by key: why
  std::optional<Announcer> announcer_;             // not with manifests
  std::vector<kube::Subscription> subscriptions_;  // until they are tasks
  std::list<Watch> watches_;
  std::optional<kube::Manifests> manifests_;
};

}  // namespace netkite::app
