// SPDX-License-Identifier: Apache-2.0
#include "agent/app/connections.hpp"

#include <algorithm>

#include "agent/node/local_ports.hpp"

namespace netkite::app {
namespace {

using Duration = std::chrono::steady_clock::duration;

// However large the table, the agent has its time between two steps.
constexpr auto kShortestPause = std::chrono::milliseconds(2);
// A table that is nearly full is looked at so many times as fast, and without rests.
constexpr int kHurry = 4;
// Between steps so many times what one costs: a fiftieth of a processor, or a fifth.
constexpr int kUsualRest = 49;
constexpr int kHurriedRest = 4;

}  // namespace

Connections::Connections(boost::asio::io_context& context, const config::Options& options, datapath::Datapath& datapath,
                         std::chrono::milliseconds round)
    : timer_(context), round_(round), datapath_(datapath), options_(options.services), sysctl_dir_(options.sysctl_dir) {
  const auto ports = config::program_ports(options);
  self_.first_port = ports.first;
  self_.last_port = ports.last;
  // What a former run has left is old already.
  wait({});
}

void Connections::set_own_node(const kube::Node& node) {
  self_.addresses = node.addresses;
  write_self();
}

void Connections::write_self() {
  const auto written = datapath_.set_self(self_);
  self_due_ = !written;
  self_trouble_ = written ? std::string() : "services: " + written.error().message;
}

void Connections::wait(Duration time) {
  timer_.expires_after(time);
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled && !stopped_) step();
  });
}

void Connections::step() {
  const auto step = datapath_.sweep_connections();
  sweep_trouble_ = step ? std::string() : "services: connections: " + step.error().message;
  wait(step ? pause_after(*step) : round_);
  if (step && !step->round_over) return;
  begin_ = timer_.expiry();
  if (self_due_) write_self();
}

// Steps are as far apart as a full table needs it to be done in time; one that is not is done early, and rests. A table
// whose steps cost more than that allows is late: what is old in it takes room that nobody wants yet.
Duration Connections::pause_after(const datapath::Datapath::SweepStep& step) const {
  const auto usual = Duration(round_) / std::max(step.steps, 1U);
  const auto pause = step.hurry ? std::max<Duration>({usual / kHurry, step.cost * kHurriedRest, kShortestPause})
                                : std::max<Duration>({usual, step.cost * kUsualRest, kShortestPause});
  if (!step.round_over || step.hurry) return pause;
  return std::max<Duration>(begin_ + round_ - std::chrono::steady_clock::now(), pause);
}

void Connections::stop() {
  stopped_ = true;
  timer_.cancel();
}

std::vector<std::string> Connections::problems() const {
  std::vector<std::string> lines;
  for (const auto& trouble : {self_trouble_, sweep_trouble_}) {
    if (!trouble.empty()) lines.push_back(trouble);
  }
  if (auto conflict = node::port_conflict(sysctl_dir_, options_); !conflict.empty())
    lines.push_back(std::move(conflict));
  return lines;
}

}  // namespace netkite::app
