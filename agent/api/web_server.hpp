// SPDX-License-Identifier: Apache-2.0
// Plain HTTP for probes, scrapers and load balancers: GET and HEAD, bounded in connections, sizes and times. Who comes
// when there are too many ends the oldest one, so that nobody can keep others out by holding connections.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.hpp"

namespace netkite::api {

struct WebReply {
  unsigned status = 200;
  std::string body;
  std::string content_type = "text/plain; version=0.0.4; charset=utf-8";
  std::vector<std::pair<std::string, std::string>> headers = {};
};

// Lives until it has been stopped and the io_context has run what that takes, whoever else lets it go.
class WebServer : public std::enable_shared_from_this<WebServer> {
 public:
  using Answer = std::function<WebReply(std::string_view path)>;  // without its query
  // 127.0.0.1; or all addresses of the node, of both families, for load balancers: some ask by OPTIONS or by methods of
  // their own, so any gets the answer there.
  enum class Reach : std::uint8_t { loopback, everywhere };
  struct Place {
    std::uint16_t port = 0;  // 0: any
    Reach reach = Reach::loopback;
  };

  // exists: the port is taken. `answer` is not called after stop().
  [[nodiscard]] static Result<std::shared_ptr<WebServer>> open(boost::asio::io_context& context, Place place,
                                                               Answer answer);
  [[nodiscard]] std::uint16_t port() const;
  void stop();

 private:
  using Stream = boost::beast::tcp_stream;
  WebServer(boost::asio::io_context& context, boost::asio::ip::tcp::acceptor acceptor, Reach reach, Answer answer);
  [[nodiscard]] static boost::asio::awaitable<void> accept_all(std::shared_ptr<WebServer> self);
  [[nodiscard]] static boost::asio::awaitable<void> serve(std::shared_ptr<WebServer> self,
                                                          std::shared_ptr<Stream> stream);
  void take(boost::asio::ip::tcp::socket socket);

  boost::asio::io_context& context_;
  boost::asio::ip::tcp::acceptor acceptor_;
  Reach reach_;
  Answer answer_;
  std::list<std::shared_ptr<Stream>> connections_;  // the oldest first
};

}  // namespace netkite::api
