// SPDX-License-Identifier: Apache-2.0
// An API server for tests: a script answers each request with the bytes that it likes.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <string>
#include <vector>

namespace netkite::kube {

struct Script {
  enum class Then : std::uint8_t { keep, close, hang };  // after the answer
  std::string bytes;
  Then then = Then::keep;
};

// An answer with a length; one that ends with the connection or goes on; a watch's or list's documents.
[[nodiscard]] Script whole(unsigned status, const std::string& body);
[[nodiscard]] Script streamed(const std::string& body, Script::Then then);

class Server {
 public:
  using Answer = std::function<Script(const std::string& target)>;
  Server(boost::asio::io_context& context, Answer answer);
  [[nodiscard]] std::string url() const;
  void stop();

  std::vector<std::string> targets;  // asked for, in their order
  std::string last_head;             // of the last request

 private:
  [[nodiscard]] boost::asio::awaitable<void> accept_all();
  [[nodiscard]] boost::asio::awaitable<void> serve(boost::asio::ip::tcp::socket socket);

  boost::asio::io_context& context_;
  boost::asio::ip::tcp::acceptor acceptor_;
  Answer answer_;
  std::vector<boost::asio::ip::tcp::socket> hanging_;
};

}  // namespace netkite::kube
