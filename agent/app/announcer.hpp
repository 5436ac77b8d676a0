// SPDX-License-Identifier: Apache-2.0
// Tells the cluster that this node's pods have a network, once they have.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/kube/access.hpp"
#include "agent/kube/connection.hpp"
#include "agent/kube/node.hpp"
#include "common/base/result.hpp"

namespace netkite::app {

class Announcer {
 public:
  struct Pauses {
    std::chrono::milliseconds shortest{1'000}, longest{30'000};
  };

  // `changed` is called when trouble() is another one.
  Announcer(boost::asio::io_context& context, kube::Source source, std::string node_name, std::function<void()> changed,
            Pauses pauses);

  // To be spawned once; ends after stop().
  [[nodiscard]] boost::asio::awaitable<void> run();
  void stop();

  // Nothing is said before it is true, and nothing is taken back: the datapath outlives the agent.
  void set_ready(bool ready);
  // What the cluster says of the node; none: it has no such node.
  void set_marks(std::optional<kube::NodeMarks> marks);
  // Why the cluster could not be told; empty: it was, or there is nothing to say.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

 private:
  [[nodiscard]] std::vector<kube::Request> due() const;
  [[nodiscard]] boost::asio::awaitable<Result<void>> connect();
  [[nodiscard]] boost::asio::awaitable<Result<void>> tell(std::vector<kube::Request> requests);
  void set_trouble(std::string trouble);
  void wake();

  boost::asio::io_context& context_;
  kube::Source source_;
  std::string name_;
  std::function<void()> changed_;
  Pauses pauses_;
  boost::asio::steady_timer timer_;
  std::unique_ptr<kube::Connection> connection_;
  bool ready_ = false, stopped_ = false, resting_ = false;
  std::optional<kube::NodeMarks> marks_;
  std::string trouble_;
};

}  // namespace netkite::app
