// SPDX-License-Identifier: Apache-2.0
// Keeps the table of translated connections in order: who this node is, and what has become old.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "agent/config/options.hpp"
#include "agent/datapath/datapath.hpp"
#include "agent/kube/node.hpp"
#include "common/base/result.hpp"

namespace netkite::app {

class Connections {
 public:
  // The datapath outlives this. From `round` to `round` the whole table is looked at, in steps that leave the rest of
  // the agent its time; more slowly where that costs too much.
  Connections(boost::asio::io_context& context, const config::Options& options, datapath::Datapath& datapath,
              std::chrono::milliseconds round = std::chrono::seconds(5));

  // Until then what a former run has said holds.
  void set_own_node(const kube::Node& node);
  void stop();

  // One line each: what the kernel refused, and that it may hand out the connections' ports by itself.
  [[nodiscard]] std::vector<std::string> problems() const;

 private:
  void wait(std::chrono::steady_clock::duration time);
  void step();
  void write_self();
  [[nodiscard]] std::chrono::steady_clock::duration pause_after(const datapath::Datapath::SweepStep& step) const;

  boost::asio::steady_timer timer_;
  std::chrono::milliseconds round_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();  // of this round
  datapath::Datapath& datapath_;
  config::Services options_;
  std::string sysctl_dir_;
  datapath::Self self_;
  bool self_due_ = false, stopped_ = false;
  std::string sweep_trouble_, self_trouble_;
};

}  // namespace netkite::app
