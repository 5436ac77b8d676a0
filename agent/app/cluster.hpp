// SPDX-License-Identifier: Apache-2.0
// The cluster as this agent knows it: the Node objects, followed while the API server is there, and kept in a file for
// the time when it is not.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/app/announcer.hpp"
#include "agent/app/membership.hpp"
#include "agent/config/options.hpp"
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

  // `changed` is called when nodes() has changed since, at most a few times a second, or `trouble` has.
  Cluster(boost::asio::io_context& context, const config::Options& options, std::function<void()> changed);

  // From <run_dir>/cluster.json. not_found: there is none; invalid: of another node, or damaged.
  [[nodiscard]] Result<Memory> recall() const;
  // `pools` are those in use, which a change of the Node object does not always change.
  [[nodiscard]] Result<void> remember(const std::vector<Cidr>& pools) const;

  // To be spawned once; ends after stop().
  [[nodiscard]] boost::asio::awaitable<void> follow() { return reflector_.run(); }
  // The same: tells the cluster once the node is ready.
  [[nodiscard]] boost::asio::awaitable<void> announce_ready() { return announcer_.run(); }
  void stop();

  // All nodes of the server, once it has named all of them.
  [[nodiscard]] bool synced() const { return synced_; }
  [[nodiscard]] const Nodes& nodes() const { return nodes_; }
  // Pods can be made here, and what the server knows has been taken over. Not all of it: nothing happens.
  void set_ready(bool ready) { announcer_.set_ready(ready && synced_ && report_ready_); }
  // One line each: why the server cannot be followed or told, nodes that make no sense.
  [[nodiscard]] std::vector<std::string> problems() const;

 private:
  [[nodiscard]] kube::Events events();
  void take(const std::string& key, const kube::Json& object);
  void announce();

  std::string name_, file_;
  std::function<void()> changed_;
  boost::asio::steady_timer timer_;
  bool announced_ = false, stopped_ = false, synced_ = false, report_ready_;
  std::string trouble_ = "not asked yet";
  Nodes nodes_;
  std::map<std::string, std::string> unreadable_;  // by name: why
  Announcer announcer_;
  kube::Reflector reflector_;
};

}  // namespace netkite::app
