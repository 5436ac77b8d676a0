// SPDX-License-Identifier: Apache-2.0
#include "agent/api/event_hub.hpp"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "agent/api/unix_socket.hpp"
#include "common/base/await.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::api {
namespace {

namespace asio = boost::asio;

// A flood of refusals must leave the thread time for pods: events are fetched in rounds.
constexpr auto kPause = std::chrono::milliseconds(50);
constexpr int kSendBuffer = 1 << 20;  // bytes; a round of events fits

nlohmann::json to_json(const datapath::DropEvent& event) {
  return {
      {"time_ns", event.time_ns},
      {"reason", event.reason},
      {"hook", event.hook},
      {"ifindex", event.ifindex},
      {"endpoint_id", event.endpoint_id},
      {"length", event.length},
      {"protocol", event.protocol},
      {"source", event.source ? event.source->to_string() : ""},
      {"destination", event.destination ? event.destination->to_string() : ""},
      {"source_port", event.source_port},
      {"destination_port", event.destination_port},
  };
}

}  // namespace

EventHub::EventHub(asio::io_context& context, datapath::Datapath& datapath)
    : datapath_(datapath), events_(context, datapath.event_fd()) {
  asio::co_spawn(context, run(), [](const std::exception_ptr& error) {
    if (error) spdlog::error("drop events: the reader ended");
  });
}

EventHub::~EventHub() { stop(); }

void EventHub::stop() {
  if (!std::exchange(running_, false)) return;
  if (!lost_.empty()) {
    if (auto off = datapath_.set_monitor(false); !off) spdlog::warn("drop events: {}", off.error().message);
  }
  lost_.clear();
  events_.release();  // the datapath's own; pending waits are cancelled
}

Result<void> EventHub::subscribe(int socket) {
  if (lost_.empty()) {
    if (auto on = datapath_.set_monitor(true); !on) return on;
  }
  // Beyond the system's limit for sockets, which root may pass; without it a slow reader only loses more.
  if (::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof(kSendBuffer)) != 0) {
    spdlog::debug("drop events: the send buffer keeps its size");
  }
  lost_.emplace(socket, 0);
  return {};
}

void EventHub::unsubscribe(int socket) {
  if (lost_.erase(socket) == 0 || !lost_.empty()) return;
  if (auto off = datapath_.set_monitor(false); !off) spdlog::warn("drop events: {}", off.error().message);
}

asio::awaitable<void> EventHub::run() {
  asio::steady_timer timer(events_.get_executor());
  bool more = false;  // then the descriptor does not become readable anew
  while (running_) {
    if (!more) {
      const auto [error] = co_await events_.async_wait(asio::posix::stream_descriptor::wait_read, kToken);
      if (error || !running_) co_return;
    }
    const auto drained = datapath_.drain_events([this](const datapath::DropEvent& event) { deliver(event); });
    if (!drained) spdlog::warn("drop events: {}", drained.error().message);
    more = drained && *drained;
    timer.expires_after(kPause);
    co_await timer.async_wait(kToken);
  }
}

void EventHub::deliver(const datapath::DropEvent& event) {
  if (lost_.empty()) return;
  const auto text = wire::to_text(wire::success({{"event", to_json(event)}}));
  for (auto& [socket, lost] : lost_) {
    if (lost > 0) {
      if (!send_message(socket, wire::to_text(wire::success({{"lost", lost}})))) {
        ++lost;
        continue;
      }
      lost = 0;
    }
    if (!send_message(socket, text)) ++lost;
  }
}

}  // namespace netkite::api
