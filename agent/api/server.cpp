// SPDX-License-Identifier: Apache-2.0
#include "agent/api/server.hpp"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>

#include "agent/api/accept_pause.hpp"
#include "agent/api/unix_socket.hpp"
#include "common/base/await.hpp"

namespace netkite::api {
namespace {

namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;

std::string refusal(Code code, std::string message) {
  return wire::to_text(wire::to_json(Error{.code = code, .os_error = 0, .message = std::move(message)}));
}

}  // namespace

struct Server::Connection : std::enable_shared_from_this<Connection> {
  Connection(asio::io_context& context, UniqueFd fd) : socket(context, fd.release()), timer(context) {}

  // Ends the connection unless it is called again in time.
  void allow(std::chrono::milliseconds time) {
    timer.expires_after(time);
    timer.async_wait([weak = weak_from_this()](const boost::system::error_code& cancelled) {
      const auto self = weak.lock();
      if (!cancelled && self) self->close();
    });
  }
  void close() {
    boost::system::error_code ignored;  // a descriptor is gone after close() whatever it says
    socket.close(ignored);
    timer.cancel();
  }

  Descriptor socket;
  asio::steady_timer timer;
  Session session;
};

Result<std::unique_ptr<Server>> Server::open(asio::io_context& context, const std::string& path, Handlers& handlers,
                                             EventHub& events, Limits limits) {
  auto listener = listen_unix(path);
  if (!listener) return tl::make_unexpected(listener.error());
  std::unique_ptr<Server> server(new Server(context, *std::move(listener), path, handlers, events, limits));
  asio::co_spawn(context, server->accept_all(), [](const std::exception_ptr& error) {
    if (error) spdlog::critical("the socket's listener ended");
  });
  return server;
}

Server::Server(asio::io_context& context, UniqueFd listener, std::string path, Handlers& handlers, EventHub& events,
               Limits limits)
    : context_(context),
      listener_(context, listener.release()),
      path_(std::move(path)),
      handlers_(handlers),
      events_(events),
      limits_(limits) {}

Server::~Server() { stop(); }

void Server::stop() {
  if (!listener_.is_open()) return;
  ::unlink(path_.c_str());
  boost::system::error_code ignored;
  listener_.close(ignored);
  for (const auto& connection : connections_) connection->close();
}

asio::awaitable<void> Server::accept_all() {
  asio::steady_timer timer(context_);
  while (listener_.is_open()) {
    const auto [error] = co_await listener_.async_wait(Descriptor::wait_read, kToken);
    if (error) co_return;
    auto socket = accept_unix(listener_.native_handle());
    for (; socket; socket = accept_unix(listener_.native_handle())) admit(*std::move(socket));
    if (socket.error().code == Code::unavailable) continue;
    spdlog::error("{}", socket.error().message);
    timer.expires_after(kAcceptPause);
    co_await timer.async_wait(kToken);
  }
}

void Server::admit(UniqueFd socket) {
  Result<void> allowed = require_root_peer(socket.get());
  if (allowed && connections_.size() >= limits_.connections) {
    allowed = fail(Code::unavailable, "the agent has " + std::to_string(limits_.connections) + " connections already");
  }
  if (!allowed) {
    spdlog::warn("connection refused: {}", allowed.error().message);
    const auto sent = send_message(socket.get(), refusal(allowed.error().code, allowed.error().message));
    if (!sent) spdlog::debug("the refusal was not read: {}", sent.error().message);
    return;
  }
  auto connection = std::make_shared<Connection>(context_, std::move(socket));
  connections_.insert(connection);
  asio::co_spawn(context_, serve(connection), [this, connection](const std::exception_ptr& error) {
    if (error) spdlog::error("a connection ended with an exception");
    if (connection->socket.is_open()) events_.unsubscribe(connection->socket.native_handle());
    connection->close();
    connections_.erase(connection);
    handlers_.closed(connection->session);
  });
}

asio::awaitable<void> Server::serve(std::shared_ptr<Connection> connection) {
  const auto& session = connection->session;
  while (connection->socket.is_open()) {
    const bool begun = !session.adding.empty() || !session.removing.empty();
    connection->allow(begun ? limits_.begun : limits_.idle);
    const auto [error] = co_await connection->socket.async_wait(Descriptor::wait_read, kToken);
    if (error || !co_await answer(connection)) co_return;
    if (session.monitoring) co_return co_await watch(connection);
  }
}

// False: the connection is to end.
asio::awaitable<bool> Server::answer(std::shared_ptr<Connection> connection) {
  auto received = receive_message(connection->socket.native_handle(), buffer_);
  if (!received) co_return received.error().code == Code::unavailable;
  if (received->truncated || received->bytes > wire::kMaxMessage) {
    const auto limit = std::to_string(wire::kMaxMessage);
    co_await send(connection, refusal(Code::invalid, "a message has at most " + limit + " bytes and one descriptor"));
    co_return false;
  }
  if (received->bytes == 0) co_return false;
  auto reply =
      handlers_.handle(connection->session, {buffer_.data(), received->bytes}, std::move(received->descriptors));
  co_return co_await send(connection, std::move(reply));
}

asio::awaitable<bool> Server::send(std::shared_ptr<Connection> connection, std::string message) const {
  for (;;) {
    const auto sent = send_message(connection->socket.native_handle(), message);
    if (sent) co_return true;
    if (sent.error().code != Code::unavailable) co_return false;
    connection->allow(limits_.idle);
    const auto [error] = co_await connection->socket.async_wait(Descriptor::wait_write, kToken);
    if (error) co_return false;
  }
}

// A subscriber sends nothing more: whatever becomes readable is its end.
asio::awaitable<void> Server::watch(std::shared_ptr<Connection> connection) {
  const int socket = connection->socket.native_handle();
  connection->timer.cancel();
  if (auto subscribed = events_.subscribe(socket); !subscribed) {
    spdlog::error("monitor: {}", subscribed.error().message);
    co_return;
  }
  co_await connection->socket.async_wait(Descriptor::wait_read, kToken);
  events_.unsubscribe(socket);
}

}  // namespace netkite::api
