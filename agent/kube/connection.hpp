// SPDX-License-Identifier: Apache-2.0
// One connection to the API server: request after request, each answer's body handed on as it arrives. Every step has a
// deadline.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/kube/access.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

struct Deadlines {
  std::chrono::milliseconds connect = std::chrono::seconds(10);   // the same again for the TLS handshake
  std::chrono::milliseconds exchange = std::chrono::seconds(15);  // to write a request, and again to its answer's head
  // A peer that is gone without a word is noticed by the kernel's probes within half a minute, however long a body may
  // pause.
};

struct Request {
  std::string target;   // begins with '/'
  std::string patch;    // the media type of a patch
  std::string body;     // the patch
  bool remove = false;  // a DELETE; a GET is what is neither
};

class Connection {
 public:
  // A piece of the body with the answer's status; an empty one as soon as the status is known. An error ends the
  // exchange with it.
  using Taker = std::function<Result<void>(unsigned status, std::string_view piece)>;

  [[nodiscard]] static Result<std::unique_ptr<Connection>> make(const boost::asio::any_io_executor& executor,
                                                                const Access& access, Deadlines deadlines = {});

  [[nodiscard]] boost::asio::awaitable<Result<void>> open();
  // The answer's status, after its whole body. The longest pause in the body is `set_pause`.
  [[nodiscard]] boost::asio::awaitable<Result<unsigned>> ask(Request request, Taker taker);
  void set_pause(std::chrono::milliseconds pause) { pause_ = pause; }
  [[nodiscard]] bool usable() const { return usable_; }  // for another request
  // Whatever is under way fails.
  void close();

 private:
  Connection(const boost::asio::any_io_executor& executor, Access access, Deadlines deadlines);
  using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;
  [[nodiscard]] Result<void> prepare_tls();
  [[nodiscard]] boost::asio::awaitable<Result<Endpoints>> resolve();
  [[nodiscard]] boost::asio::awaitable<Result<void>> handshake();
  template <typename Stream>
  [[nodiscard]] boost::asio::awaitable<Result<unsigned>> exchange(Stream& stream, Request wanted, Taker taker);
  [[nodiscard]] tl::unexpected<Error> broken(std::string_view step, const boost::system::error_code& error);
  [[nodiscard]] std::string authority() const;

  Access access_;
  Deadlines deadlines_;
  std::chrono::milliseconds pause_ = std::chrono::seconds(30);
  boost::asio::ssl::context tls_{boost::asio::ssl::context::tls_client};
  boost::asio::ip::tcp::resolver resolver_;
  std::unique_ptr<boost::beast::ssl_stream<boost::beast::tcp_stream>> stream_;  // for plain http: its inner layer
  boost::beast::flat_buffer buffer_;
  bool usable_ = false;
};

}  // namespace netkite::kube
