// SPDX-License-Identifier: Apache-2.0
#include "agent/api/web_server.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "agent/api/accept_pause.hpp"
#include "common/base/await.hpp"

namespace netkite::api {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

constexpr std::size_t kMaxConnections = 32;
constexpr std::uint32_t kMaxHead = 8192;  // bytes
constexpr auto kPatience = std::chrono::seconds(10);

}  // namespace

Result<std::unique_ptr<WebServer>> WebServer::open(asio::io_context& context, std::uint16_t port, Answer answer) {
  const tcp::endpoint place(asio::ip::address_v4::loopback(), port);
  tcp::acceptor acceptor(context);
  boost::system::error_code error;
  acceptor.open(place.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(place, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return fail_errno(error.value(), "http_port: listen on 127.0.0.1:" + std::to_string(port));
  std::unique_ptr<WebServer> server(new WebServer(context, std::move(acceptor), std::move(answer)));
  asio::co_spawn(context, server->accept_all(), [](const std::exception_ptr& failed) {
    if (failed) spdlog::critical("the HTTP listener ended");
  });
  return server;
}

WebServer::WebServer(asio::io_context& context, tcp::acceptor acceptor, Answer answer)
    : context_(context), acceptor_(std::move(acceptor)), answer_(std::move(answer)) {}

std::uint16_t WebServer::port() const { return acceptor_.local_endpoint().port(); }

void WebServer::stop() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  for (const auto& stream : connections_) stream->close();
}

asio::awaitable<void> WebServer::accept_all() {
  asio::steady_timer timer(context_);
  while (acceptor_.is_open()) {
    auto [error, socket] = co_await acceptor_.async_accept(kToken);
    if (!acceptor_.is_open()) co_return;
    if (error) {
      timer.expires_after(kAcceptPause);
      co_await timer.async_wait(kToken);
      continue;
    }
    if (connections_.size() >= kMaxConnections) continue;  // closed at once
    auto stream = std::make_shared<Stream>(std::move(socket));
    connections_.insert(stream);
    asio::co_spawn(context_, serve(stream), [this, stream](const std::exception_ptr& failed) {
      if (failed) spdlog::error("an HTTP connection ended with an exception");
      connections_.erase(stream);
    });
  }
}

asio::awaitable<void> WebServer::serve(std::shared_ptr<Stream> stream) {
  boost::beast::flat_buffer buffer;
  for (bool more = true; more;) {
    http::request_parser<http::empty_body> parser;
    parser.header_limit(kMaxHead);
    stream->expires_after(kPatience);
    const auto [error, bytes] = co_await http::async_read(*stream, buffer, parser, kToken);
    if (error) co_return;
    const auto& request = parser.get();
    const bool is_get = request.method() == http::verb::get;
    auto reply = is_get ? answer_({request.target().data(), request.target().size()})
                        : WebReply{.status = 405, .body = "only GET\n"};
    http::response<http::string_body> response(static_cast<http::status>(reply.status), request.version(),
                                               std::move(reply.body));
    response.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
    response.keep_alive(is_get && request.keep_alive());
    response.prepare_payload();
    stream->expires_after(kPatience);
    const auto [failed, written] = co_await http::async_write(*stream, response, kToken);
    more = !failed && response.keep_alive();
  }
}

}  // namespace netkite::api
