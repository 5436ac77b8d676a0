// SPDX-License-Identifier: Apache-2.0
// Hands drop events to the connections that asked for them. Programs write events only while somebody listens.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <map>

#include "agent/datapath/datapath.hpp"
#include "common/base/result.hpp"

namespace netkite::api {

class EventHub {
 public:
  // `datapath` outlives the hub and keeps its event descriptor.
  EventHub(boost::asio::io_context& context, datapath::Datapath& datapath);
  ~EventHub();
  EventHub(const EventHub&) = delete;
  EventHub& operator=(const EventHub&) = delete;

  // Sends {"ok": true, "event": {...}} to the socket from now on. A reader that is slower than the events loses some,
  // and is told how many by {"ok": true, "lost": N} before the next one.
  [[nodiscard]] Result<void> subscribe(int socket);
  void unsubscribe(int socket);  // before the socket is closed; tolerates others
  void stop();

 private:
  [[nodiscard]] boost::asio::awaitable<void> run();
  void deliver(const datapath::DropEvent& event);

  datapath::Datapath& datapath_;
  boost::asio::posix::stream_descriptor events_;
  std::map<int, std::uint64_t> lost_;  // by subscriber
  bool running_ = true;
};

}  // namespace netkite::api
