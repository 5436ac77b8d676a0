// SPDX-License-Identifier: Apache-2.0
// The composition root: builds the parts, wires them, runs them on one thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/api/event_hub.hpp"
#include "agent/api/handlers.hpp"
#include "agent/api/server.hpp"
#include "agent/api/web_server.hpp"
#include "agent/app/cluster.hpp"
#include "agent/app/connections.hpp"
#include "agent/app/reload.hpp"
#include "agent/app/services.hpp"
#include "agent/app/stale_sockets.hpp"
#include "agent/app/uplinks.hpp"
#include "agent/config/options.hpp"
#include "agent/datapath/datapath.hpp"
#include "agent/endpoint/manager.hpp"
#include "agent/node/node.hpp"
#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::app {

class Agent {
 public:
  Agent(config::Options options, std::string config_file);
  ~Agent();

  // Until SIGTERM or SIGINT. An error means that the agent could not start; what it had built is left to the next
  // start.
  [[nodiscard]] Result<void> run();

 private:
  [[nodiscard]] Result<void> start();
  [[nodiscard]] Result<void> open_datapath(const datapath::Features& features);
  [[nodiscard]] Result<void> remove_unwanted();
  [[nodiscard]] Result<void> prepare_overlay();
  [[nodiscard]] Result<void> raise_overlay();
  [[nodiscard]] Result<void> restore();
  void take_over_connections();
  [[nodiscard]] Result<void> serve();
  [[nodiscard]] Result<void> serve_web();

  [[nodiscard]] boost::asio::awaitable<void> follow_changes();
  [[nodiscard]] boost::asio::awaitable<void> obey_signals();
  [[nodiscard]] boost::asio::awaitable<void> retry();
  void reconcile();

  void recall_cluster();
  [[nodiscard]] bool knows_nobody() const;
  void remove_stale();
  void follow_cluster();
  void follow_end();
  [[nodiscard]] std::vector<std::string> take_over_cluster();
  [[nodiscard]] Result<void> take_over_pools();
  [[nodiscard]] std::string not_ready() const;

  void set_problems(std::vector<std::string> problems);
  [[nodiscard]] std::vector<std::string> open_problems() const;  // ours and those of our parts
  void reload();
  [[nodiscard]] Result<void> change_deny_list(const Reload& plan);
  void stop();
  void log_reports();
  [[nodiscard]] api::NodeStatus status() const;

  config::Options options_;  // pools and peers are the cluster's where there is one
  std::string config_file_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  UniqueFd lock_;
  std::vector<std::string> missing_;   // kernel features
  std::vector<std::string> problems_;  // what could not be done; the retry timer and events try again
  std::vector<std::string> said_;      // those and the view's, as last logged
  std::vector<std::string> cluster_problems_;
  std::optional<kube::Node> remembered_;  // the own node, from before
  bool masquerade_due_ = false;           // the table in the stack is not as the configuration and the cluster want it
  bool memory_due_ = false;               // the same of what is kept of the cluster
  bool stale_due_ = false;                // links and pins of devices that have gone are there
  std::string pools_wait_;                // why the node's own podCIDRs cannot be used; empty: they are
  wire::DeviceMode device_ = wire::DeviceMode::netkit;
  node::View view_;
  std::uint32_t overlay_ = 0;  // the device that has our programs, 0: none

  // Before the parts that hold handlers of theirs in it: destroyed last.
  boost::asio::io_context context_{1};
  std::unique_ptr<datapath::Datapath> datapath_;
  std::optional<Uplinks> uplinks_;
  std::unique_ptr<endpoint::Manager> manager_;
  std::unique_ptr<node::Monitor> monitor_;
  std::optional<api::Handlers> handlers_;
  std::optional<api::EventHub> events_;
  std::unique_ptr<api::Server> server_;
  std::shared_ptr<api::WebServer> web_;
  std::optional<Cluster> cluster_;
  std::optional<Services> services_;
  std::optional<StaleSockets> stale_sockets_;
  std::optional<Connections> connections_;
  boost::asio::signal_set signals_{context_};
  boost::asio::steady_timer retry_timer_{context_};
  std::optional<boost::asio::posix::stream_descriptor> changes_;
};

}  // namespace netkite::app
