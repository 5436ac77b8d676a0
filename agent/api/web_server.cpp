// SPDX-License-Identifier: Apache-2.0
#include "agent/api/web_server.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/v6_only.hpp>
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

void listen_at(tcp::acceptor& acceptor, const tcp::endpoint& place, boost::system::error_code& error) {
  acceptor.open(place.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && place.protocol() == tcp::v6()) acceptor.set_option(asio::ip::v6_only(false), error);
  if (!error) acceptor.bind(place, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
}

}  // namespace

Result<std::shared_ptr<WebServer>> WebServer::open(asio::io_context& context, Place place, Answer answer) {
  const bool everywhere = place.reach == Reach::everywhere;
  tcp::acceptor acceptor(context);
  boost::system::error_code error;
  if (everywhere) listen_at(acceptor, {tcp::v6(), place.port}, error);
  if (!everywhere || error == asio::error::address_family_not_supported) {
    const auto address = everywhere ? asio::ip::address_v4::any() : asio::ip::address_v4::loopback();
    listen_at(acceptor, {address, place.port}, error);
  }
  if (error) {
    return fail_errno(error.value(),
                      "listen on " + std::string(everywhere ? "port " : "127.0.0.1:") + std::to_string(place.port));
  }
  std::shared_ptr<WebServer> server(new WebServer(context, std::move(acceptor), place.reach, std::move(answer)));
  asio::co_spawn(context, accept_all(server), [](const std::exception_ptr& failed) {
    if (failed) spdlog::critical("the HTTP listener ended");
  });
  return server;
}

WebServer::WebServer(asio::io_context& context, tcp::acceptor acceptor, Reach reach, Answer answer)
    : context_(context), acceptor_(std::move(acceptor)), reach_(reach), answer_(std::move(answer)) {}

std::uint16_t WebServer::port() const { return acceptor_.local_endpoint().port(); }

void WebServer::stop() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  for (const auto& stream : connections_) stream->close();
}

asio::awaitable<void> WebServer::accept_all(std::shared_ptr<WebServer> self) {
  asio::steady_timer timer(self->context_);
  while (self->acceptor_.is_open()) {
    auto [error, socket] = co_await self->acceptor_.async_accept(kToken);
    if (!self->acceptor_.is_open()) co_return;
    if (error) {
      timer.expires_after(kAcceptPause);
      co_await timer.async_wait(kToken);
      continue;
    }
    self->take(std::move(socket));
  }
}

void WebServer::take(tcp::socket socket) {
  if (connections_.size() >= kMaxConnections) {
    connections_.front()->close();
    connections_.pop_front();
  }
  auto stream = std::make_shared<Stream>(std::move(socket));
  connections_.push_back(stream);
  asio::co_spawn(context_, serve(shared_from_this(), stream),
                 [self = shared_from_this(), stream](const std::exception_ptr& failed) {
                   if (failed) spdlog::error("an HTTP connection ended with an exception");
                   self->connections_.remove(stream);
                 });
}

asio::awaitable<void> WebServer::serve(std::shared_ptr<WebServer> self, std::shared_ptr<Stream> stream) {
  boost::beast::flat_buffer buffer;
  for (bool more = true; more;) {
    http::request_parser<http::empty_body> parser;
    parser.header_limit(kMaxHead);
    stream->expires_after(kPatience);
    const auto [error, bytes] = co_await http::async_read(*stream, buffer, parser, kToken);
    if (error || !self->acceptor_.is_open()) co_return;
    const auto& request = parser.get();
    const std::string_view target(request.target().data(), request.target().size());
    const bool is_head = request.method() == http::verb::head;
    const bool is_usual = is_head || request.method() == http::verb::get;
    auto reply = is_usual || self->reach_ == Reach::everywhere ? self->answer_(target.substr(0, target.find('?')))
                                                               : WebReply{.status = 405, .body = "only GET and HEAD\n"};
    http::response<http::string_body> response(static_cast<http::status>(reply.status), request.version(),
                                               std::move(reply.body));
    response.set(http::field::content_type, reply.content_type);
    for (const auto& [name, value] : reply.headers) response.set(name, value);
    response.keep_alive(is_usual && request.keep_alive());
    response.prepare_payload();
    if (is_head) response.body().clear();  // the length stays: that of a GET
    stream->expires_after(kPatience);
    const auto [failed, written] = co_await http::async_write(*stream, response, kToken);
    more = !failed && response.keep_alive();
  }
}

}  // namespace netkite::api
