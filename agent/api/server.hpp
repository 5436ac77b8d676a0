// SPDX-License-Identifier: Apache-2.0
// The agent's Unix socket: root only, bounded in connections, sizes and times.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <set>
#include <string>

#include "agent/api/event_hub.hpp"
#include "agent/api/handlers.hpp"
#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::api {

struct Limits {
  std::size_t connections = 512;
  std::chrono::milliseconds idle = std::chrono::seconds(30);  // without a request; also for one that does not read
  std::chrono::milliseconds begun = std::chrono::minutes(4);  // the same with an ADD or DEL under way, as containerd
};

// All on one io_context, which outlives the server's work: stop(), run the context empty, then destroy.
class Server {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Server>> open(boost::asio::io_context& context, const std::string& path,
                                                            Handlers& handlers, EventHub& events, Limits limits = {});
  ~Server();
  // No more connections; those that are there end, and what they left unfinished is undone. Removes the socket file.
  void stop();

 private:
  struct Connection;

  Server(boost::asio::io_context& context, UniqueFd listener, std::string path, Handlers& handlers, EventHub& events,
         Limits limits);
  [[nodiscard]] boost::asio::awaitable<void> accept_all();
  void admit(UniqueFd socket);
  [[nodiscard]] boost::asio::awaitable<void> serve(std::shared_ptr<Connection> connection);
  [[nodiscard]] boost::asio::awaitable<bool> answer(std::shared_ptr<Connection> connection);
  [[nodiscard]] boost::asio::awaitable<bool> send(std::shared_ptr<Connection> connection, std::string message) const;
  [[nodiscard]] boost::asio::awaitable<void> watch(std::shared_ptr<Connection> connection);

  boost::asio::io_context& context_;
  boost::asio::posix::stream_descriptor listener_;
  std::string path_;
  Handlers& handlers_;
  EventHub& events_;
  Limits limits_;
  std::set<std::shared_ptr<Connection>> connections_;
  // One for all: nothing waits between receiving a message and being done with it. One byte more than allowed.
  std::array<char, wire::kMaxMessage + 1> buffer_{};
};

}  // namespace netkite::api
