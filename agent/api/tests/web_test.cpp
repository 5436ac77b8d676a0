// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <thread>

#include "agent/api/metrics.hpp"
#include "agent/api/tests/fetch.hpp"
#include "agent/api/web_pages.hpp"

namespace netkite::api {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Metrics, HistogramsCountUpwards) {
  CallTimes times;
  for (const auto ms : {0, 1, 2, 30, 20'000}) times.took(std::chrono::milliseconds(ms));
  MetricsWriter out;
  out.family("n_seconds", "histogram", "Help.");
  out.histogram(times, "call", "ADD");
  const auto text = out.take();
  EXPECT_THAT(text, StartsWith("# HELP n_seconds Help.\n# TYPE n_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("n_seconds_bucket{call=\"ADD\",le=\"0.001\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("n_seconds_bucket{call=\"ADD\",le=\"0.0025\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("n_seconds_bucket{call=\"ADD\",le=\"10\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("n_seconds_bucket{call=\"ADD\",le=\"+Inf\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("n_seconds_sum{call=\"ADD\"} 20.033\nn_seconds_count{call=\"ADD\"} 5\n"));
}

TEST(Metrics, ValuesAreExactAndLabelsQuoted) {
  MetricsWriter out;
  out.family("b_total", "counter", "H.");
  out.sample(1e300, "l", "a\"b\\c\nd");
  EXPECT_THAT(out.take(), HasSubstr("b_total{l=\"a\\\"b\\\\c\\nd\"} 1e+300\n"));
  out.sample(123456789012345.0);
  EXPECT_EQ(out.take(), "b_total 123456789012345\n");
}

TEST(Unready, NamesTheReason) {
  NodeStatus node;
  EXPECT_THAT(unready(node), HasSubstr("every uplink"));
  node.uplinks_attached = true;
  EXPECT_EQ(unready(node), "");
  node.not_ready = "no pools";
  EXPECT_EQ(unready(node), "no pools");
}

TEST(WebServer, AnswersGetsAndRefusesTheRest) {
  boost::asio::io_context context;
  auto server = WebServer::open(context, {}, [](std::string_view path) {
    return WebReply{.status = path == "/there" ? 200U : 404U, .body = "path " + std::string(path)};
  });
  ASSERT_TRUE(server) << server.error().message;
  const auto port = (*server)->port();
  EXPECT_FALSE(WebServer::open(context, {.port = port}, {}));
  std::thread loop([&context] { context.run(); });
  EXPECT_THAT(testing::fetch(port, "GET /there HTTP/1.0\r\n\r\n"), HasSubstr("200 OK"));
  const auto both = testing::fetch(port, "GET /there HTTP/1.1\r\n\r\nGET /x HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(both, HasSubstr("path /there"));
  EXPECT_THAT(both, HasSubstr("404 Not Found"));
  const auto head = testing::fetch(port, "HEAD /there HTTP/1.0\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("200 OK"));
  EXPECT_THAT(head, Not(HasSubstr("path /there")));
  EXPECT_THAT(testing::fetch(port, "POST /there HTTP/1.1\r\nContent-Length: 0\r\n\r\n"), HasSubstr("405"));
  EXPECT_EQ(testing::fetch(port, "nonsense\r\n\r\n"), "");
  EXPECT_EQ(testing::fetch(port, "GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n\r\n"), "");
  boost::asio::post(context, [&server] { (*server)->stop(); });
  loop.join();
}

// Whoever holds connections and says nothing keeps nobody out.
TEST(WebServer, TheOldestConnectionMakesRoom) {
  boost::asio::io_context context;
  auto server = WebServer::open(context, {}, [](std::string_view) { return WebReply{.status = 200, .body = "here"}; });
  ASSERT_TRUE(server) << server.error().message;
  std::thread loop([&context] { context.run(); });
  const auto port = (*server)->port();
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(testing::connect_to(port));
  EXPECT_THAT(testing::fetch(port, "GET / HTTP/1.0\r\n\r\n"), HasSubstr("here"));
  EXPECT_EQ(testing::read_all(silent.front()), "");
  EXPECT_THAT(testing::ask(silent.back(), "GET / HTTP/1.0\r\n\r\n"), HasSubstr("here"));
  boost::asio::post(context, [&server] { (*server)->stop(); });
  loop.join();
}

}  // namespace
}  // namespace netkite::api
