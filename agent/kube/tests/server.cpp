// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/tests/server.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "common/base/await.hpp"

namespace netkite::kube {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

std::size_t body_length(const std::string& head) {
  constexpr std::string_view kKey = "Content-Length: ";
  const auto found = head.find(kKey);
  return found == std::string::npos ? 0 : std::stoul(head.substr(found + kKey.size()));
}

}  // namespace

Script whole(unsigned status, const std::string& body) {
  return {.bytes = "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(body.size()) +
                   "\r\n\r\n" + body};
}

Script streamed(const std::string& body, Script::Then then) {
  return {.bytes = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body, .then = then};
}

Server::Server(asio::io_context& context, Answer answer)
    : context_(context),
      acceptor_(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
      answer_(std::move(answer)) {
  asio::co_spawn(context, accept_all(), asio::detached);
}

std::string Server::url() const { return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

void Server::stop() {
  acceptor_.close();
  hanging_.clear();
}

asio::awaitable<void> Server::accept_all() {
  for (;;) {
    auto [error, socket] = co_await acceptor_.async_accept(kToken);
    if (error) co_return;
    asio::co_spawn(context_, serve(std::move(socket)), asio::detached);
  }
}

asio::awaitable<void> Server::serve(tcp::socket socket) {
  std::string buffer;
  for (;;) {
    const auto [error, length] =
        co_await asio::async_read_until(socket, asio::dynamic_buffer(buffer), "\r\n\r\n", kToken);
    if (error) co_return;
    last_head = buffer.substr(0, length);
    buffer.erase(0, length);
    if (const auto body = body_length(last_head); body > 0) {
      if (buffer.size() < body) {
        const auto [cut, more] = co_await asio::async_read(socket, asio::dynamic_buffer(buffer),
                                                           asio::transfer_exactly(body - buffer.size()), kToken);
        if (cut) co_return;
      }
      buffer.erase(0, body);
    }
    const auto begin = last_head.find(' ') + 1;
    targets.push_back(last_head.substr(begin, last_head.find(' ', begin) - begin));
    const auto script = answer_(targets.back());
    const auto [failed, written] = co_await asio::async_write(socket, asio::buffer(script.bytes), kToken);
    if (failed || script.then == Script::Then::close) co_return;
    if (script.then == Script::Then::keep) continue;
    hanging_.push_back(std::move(socket));
    co_return;
  }
}

}  // namespace netkite::kube
