// SPDX-License-Identifier: Apache-2.0
// The Datapath's connections: only there where programs translate.
#include <chrono>
#include <ctime>

#include "agent/datapath/kernel_datapath.hpp"
#include "agent/datapath/reports.hpp"
#include "bpf/abi/netkite.h"

namespace netkite::datapath {
namespace {

auto no_connections() {
  return fail(Code::not_found,
              "neither services.enabled nor masquerade.mode asks for it: no connections are translated");
}

// CLOCK_MONOTONIC, as the programs read it.
std::uint64_t monotonic_ns() {
  const std::chrono::nanoseconds time = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(time.count());
}

// Of this thread: what others take from it in between is not counted.
std::chrono::nanoseconds processor_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

Result<void> KernelDatapath::set_self(const Self& self) {
  if (!connections_) return no_connections();
  return connections_->set_self(self);
}

Result<std::size_t> KernelDatapath::take_over(const std::vector<MaskedConnection>& connections) {
  if (!connections_) return no_connections();
  return connections_->take_over(connections, monotonic_ns());
}

Result<ConnectionPlace> KernelDatapath::list_connections(std::uint32_t place,
                                                         const std::function<void(const ConnectionEntry&)>& each) {
  if (!connections_) return no_connections();
  return connections_->list(place, monotonic_ns(), each);
}

Result<Datapath::FlushStep> KernelDatapath::flush_connections(std::uint32_t place, const ConnectionFilter& filter) {
  if (!connections_) return no_connections();
  return connections_->flush(place, filter);
}

Result<Datapath::SweepStep> KernelDatapath::sweep_connections() {
  if (!connections_) return no_connections();
  const auto before = processor_time();
  const auto refused = report_drops(core_->maps, NK_DROP_PORTS_EXHAUSTED);
  auto step = connections_->sweep(monotonic_ns(), refused ? refused->packets : 0);
  if (step) step->cost = processor_time() - before;
  return step;
}

Result<ConnectionCounts> KernelDatapath::connection_counts() const {
  if (!connections_) return no_connections();
  return connections_->counts();
}

}  // namespace netkite::datapath
