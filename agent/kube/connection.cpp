// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/connection.hpp"

#include <netinet/tcp.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "common/base/await.hpp"

namespace netkite::kube {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

// The kernel asks a silent peer every five seconds, and gives up after half a minute without an answer.
void watch_peer(tcp::socket& socket) {
  const int on = 1, idle_s = 15, interval_s = 5, probes = 3, unanswered_ms = 30'000;
  const int fd = socket.native_handle();
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof unanswered_ms);
}

bool is_address(const std::string& host) {
  error_code no;
  asio::ip::make_address(host, no);
  return !no;
}

}  // namespace

Connection::Connection(const asio::any_io_executor& executor, Access access, Deadlines deadlines)
    : access_(std::move(access)), deadlines_(deadlines), resolver_(executor) {}

Result<std::unique_ptr<Connection>> Connection::make(const asio::any_io_executor& executor, const Access& access,
                                                     Deadlines deadlines) {
  std::unique_ptr<Connection> connection(new Connection(executor, access, deadlines));
  if (access.tls) {
    if (auto prepared = connection->prepare_tls(); !prepared) return tl::make_unexpected(prepared.error());
  }
  connection->stream_ = std::make_unique<beast::ssl_stream<beast::tcp_stream>>(executor, connection->tls_);
  return connection;
}

Result<void> Connection::prepare_tls() {
  const auto bad = [](const char* what, const error_code& error) {
    return fail(Code::invalid, std::string(what) + ": " + error.message());
  };
  error_code error;
  tls_.set_options(
      asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1, error);
  if (error) return bad("TLS", error);
  tls_.set_verify_mode(asio::ssl::verify_peer, error);
  if (error) return bad("TLS", error);
  if (access_.ca.empty()) {
    tls_.set_default_verify_paths(error);
  } else {
    tls_.add_certificate_authority(asio::buffer(access_.ca), error);
  }
  if (error) return bad("certificate authority", error);
  tls_.set_verify_callback(asio::ssl::host_name_verification(access_.server_name), error);
  if (error) return bad("TLS", error);
  if (access_.certificate.empty()) return {};
  tls_.use_certificate_chain(asio::buffer(access_.certificate), error);
  if (error) return bad("client certificate", error);
  tls_.use_private_key(asio::buffer(access_.key), asio::ssl::context::pem, error);
  if (error) return bad("client key", error);
  return {};
}

std::string Connection::authority() const {
  const bool v6 = access_.host.find(':') != std::string::npos;
  return (v6 ? "[" + access_.host + "]" : access_.host) + ":" + access_.port;
}

tl::unexpected<Error> Connection::broken(std::string_view step, const error_code& error) {
  usable_ = false;
  const bool late = error == beast::error::timeout;
  return fail(Code::unavailable, authority() + ": " + std::string(step) + ": " +
                                     (late ? std::string("no answer in time") : error.message()));
}

void Connection::close() {
  usable_ = false;
  resolver_.cancel();
  beast::get_lowest_layer(*stream_).close();
}

asio::awaitable<Result<Connection::Endpoints>> Connection::resolve() {
  error_code no;
  if (const auto address = asio::ip::make_address(access_.host, no); !no) {
    co_return Endpoints{{address, static_cast<std::uint16_t>(std::stoul(access_.port))}};
  }
  const auto [error, found] = co_await resolver_.async_resolve(access_.host, access_.port, kToken);
  if (error) co_return broken("look up the name", error);
  co_return Endpoints(found.begin(), found.end());
}

asio::awaitable<Result<void>> Connection::open() {
  const auto endpoints = co_await resolve();
  if (!endpoints) co_return tl::make_unexpected(endpoints.error());
  auto& socket = beast::get_lowest_layer(*stream_);
  socket.expires_after(deadlines_.connect);
  const auto [error, endpoint] = co_await socket.async_connect(*endpoints, kToken);
  if (error) co_return broken("connect", error);
  watch_peer(socket.socket());
  if (access_.tls) {
    if (auto done = co_await handshake(); !done) co_return done;
  }
  usable_ = true;
  co_return Result<void>();
}

asio::awaitable<Result<void>> Connection::handshake() {
  if (!is_address(access_.server_name)) {
    // SSL_set_tlsext_host_name, whose macro casts the C way.
    ::SSL_ctrl(stream_->native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
               const_cast<char*>(access_.server_name.c_str()));
  }
  beast::get_lowest_layer(*stream_).expires_after(deadlines_.connect);
  const auto [error] = co_await stream_->async_handshake(asio::ssl::stream_base::client, kToken);
  if (!error) co_return Result<void>();
  const auto verdict = ::SSL_get_verify_result(stream_->native_handle());
  if (verdict == X509_V_OK) co_return broken("TLS handshake", error);
  usable_ = false;
  // Our own check of the name leaves no reason of its own.
  const char* why =
      verdict == X509_V_ERR_UNSPECIFIED ? "it is for another name" : ::X509_verify_cert_error_string(verdict);
  co_return fail(Code::unavailable,
                 authority() + ": its certificate is not to be trusted for \"" + access_.server_name + "\": " + why);
}

asio::awaitable<Result<unsigned>> Connection::ask(Request request, Taker taker) {
  if (access_.tls) co_return co_await exchange(*stream_, std::move(request), std::move(taker));
  co_return co_await exchange(stream_->next_layer(), std::move(request), std::move(taker));
}

template <typename Stream>
asio::awaitable<Result<unsigned>> Connection::exchange(Stream& stream, Request wanted, Taker taker) {
  auto& socket = beast::get_lowest_layer(stream);
  const auto verb = wanted.remove ? http::verb::delete_ : wanted.patch.empty() ? http::verb::get : http::verb::patch;
  http::request<http::string_body> request(verb, access_.base + wanted.target, 11, std::move(wanted.body));
  if (!wanted.patch.empty()) request.set(http::field::content_type, wanted.patch);
  request.set(http::field::host, authority());
  request.set(http::field::user_agent, "netkite-agent");
  request.set(http::field::accept, "application/json");
  if (!access_.token.empty()) request.set(http::field::authorization, "Bearer " + access_.token);
  request.prepare_payload();
  socket.expires_after(deadlines_.exchange);
  if (const auto [error, bytes] = co_await http::async_write(stream, request, kToken); error) {
    co_return broken("ask", error);
  }

  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  socket.expires_after(deadlines_.exchange);
  if (const auto [error, bytes] = co_await http::async_read_header(stream, buffer_, parser, kToken); error) {
    co_return broken("answer", error);
  }
  const unsigned status = parser.get().result_int();
  std::array<char, 8192> piece{};
  std::string_view got;
  for (;;) {
    if (auto taken = taker(status, got); !taken) {
      usable_ = false;
      co_return tl::make_unexpected(taken.error());
    }
    if (parser.is_done()) break;
    auto& body = parser.get().body();
    body.data = piece.data();
    body.size = piece.size();
    socket.expires_after(pause_);
    auto [error, bytes] = co_await http::async_read_some(stream, buffer_, parser, kToken);
    if (error == http::error::need_buffer) error = {};
    if (error) co_return broken("answer", error);
    got = {piece.data(), piece.size() - parser.get().body().size};
  }
  usable_ = parser.keep_alive();
  co_return status;
}

}  // namespace netkite::kube
