// SPDX-License-Identifier: Apache-2.0
// Plain HTTP on the loopback address, for probes and scrapers: small GETs, bounded in connections, sizes and times.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "common/base/result.hpp"

namespace netkite::api {

struct WebReply {
  unsigned status = 200;
  std::string body;
};

// On an io_context that outlives it: stop(), run the context empty, then destroy.
class WebServer {
 public:
  using Answer = std::function<WebReply(std::string_view path)>;

  // On 127.0.0.1, `port` 0: any. exists: the port is taken.
  [[nodiscard]] static Result<std::unique_ptr<WebServer>> open(boost::asio::io_context& context, std::uint16_t port,
                                                               Answer answer);
  [[nodiscard]] std::uint16_t port() const;
  void stop();

 private:
  using Stream = boost::beast::tcp_stream;
  WebServer(boost::asio::io_context& context, boost::asio::ip::tcp::acceptor acceptor, Answer answer);
  [[nodiscard]] boost::asio::awaitable<void> accept_all();
  [[nodiscard]] boost::asio::awaitable<void> serve(std::shared_ptr<Stream> stream);

  boost::asio::io_context& context_;
  boost::asio::ip::tcp::acceptor acceptor_;
  Answer answer_;
  std::set<std::shared_ptr<Stream>> connections_;
};

}  // namespace netkite::api
