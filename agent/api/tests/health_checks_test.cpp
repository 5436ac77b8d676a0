// SPDX-License-Identifier: Apache-2.0
// With real sockets on the loopback address.
#include "agent/api/health_checks.hpp"

#include <gmock/gmock.h>

#include <boost/asio/post.hpp>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/api/tests/fetch.hpp"

namespace netkite::api::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HealthChecksTest : public ::testing::Test {
 protected:
  // Runs `work` on the thread of the checks and waits for it.
  template <typename Work>
  auto on_agent(Work work) {
    std::packaged_task<decltype(work())()> task(work);
    auto done = task.get_future();
    boost::asio::post(context_, [&task] { task(); });
    return done.get();
  }
  void SetUp() override {
    work_.emplace(context_.get_executor());
    loop_ = std::thread([this] { context_.run(); });
  }
  void TearDown() override {
    on_agent([this] { checks_.stop(); });
    work_.reset();
    loop_.join();
  }
  void follow(const HealthChecks::Checks& checks, bool healthy = true, bool leaving = false) {
    on_agent([&] { checks_.follow(checks, {.healthy = healthy, .leaving = leaving}); });
  }
  std::vector<std::string> problems() {
    return on_agent([this] { return checks_.problems(); });
  }
  // A socket that holds a port which nobody had before.
  static UniqueFd hold(std::uint16_t& port) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in place{};
    place.sin_family = AF_INET;
    socklen_t size = sizeof place;
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&place), sizeof place), 0);
    EXPECT_EQ(::listen(fd.get(), 1), 0);
    EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&place), &size), 0);
    port = ntohs(place.sin_port);
    return fd;
  }
  static std::uint16_t free_port() {
    std::uint16_t port = 0;
    hold(port).reset();
    return port;
  }
  static service::HealthCheck check(std::size_t endpoints, const std::string& name = "web") {
    return {.space = "shop", .name = name, .endpoints = endpoints};
  }
  static std::string get(std::uint16_t port, const std::string& path = "/") {
    return fetch(port, "GET " + path + " HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
  }
  static nlohmann::json body_of(const std::string& reply) {
    return nlohmann::json::parse(reply.substr(reply.find("\r\n\r\n") + 4));
  }

  boost::asio::io_context context_{1};
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  std::uint16_t proxy_port_ = free_port();
  HealthChecks checks_{context_, proxy_port_};
  std::thread loop_;
};

TEST_F(HealthChecksTest, AnswerAsKubeProxyDoes) {
  const auto port = free_port();
  follow({{port, check(2)}});
  auto reply = get(port);
  EXPECT_THAT(reply, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(reply, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(reply, HasSubstr("X-Load-Balancing-Endpoint-Weight: 2\r\n"));
  EXPECT_EQ(body_of(reply),
            nlohmann::json::parse(R"({"service": {"namespace": "shop", "name": "web"}, "localEndpoints": 2,
                                      "serviceProxyHealthy": true})"));
  // Without endpoints; whatever the path.
  follow({{port, check(0)}});
  reply = get(port, "/healthz?x");
  EXPECT_THAT(reply, HasSubstr("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_EQ(body_of(reply)["localEndpoints"], 0);
  EXPECT_THAT(problems(), IsEmpty());
  // With endpoints, but nothing that is new is in force.
  follow({{port, check(2)}}, false);
  reply = get(port);
  EXPECT_THAT(reply, HasSubstr("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_EQ(body_of(reply)["serviceProxyHealthy"], false);
}

// Balancers ask by what methods they like.
TEST_F(HealthChecksTest, AnswerAnyMethod) {
  const auto port = free_port();
  follow({{port, check(2)}});
  EXPECT_THAT(fetch(port, "OPTIONS / HTTP/1.0\r\n\r\n"), HasSubstr("200 OK"));
  const auto head = fetch(port, "HEAD / HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("200 OK"));
  const auto body = get(port);
  EXPECT_THAT(head, HasSubstr("Content-Length: " + std::to_string(body.size() - body.find("\r\n\r\n") - 4)));
  EXPECT_EQ(head.substr(head.find("\r\n\r\n")), "\r\n\r\n");
}

TEST_F(HealthChecksTest, SayWhetherServicesAreServedAtAll) {
  EXPECT_FALSE(connect_to(proxy_port_).valid());
  follow({});
  EXPECT_THAT(get(proxy_port_, "/healthz"), HasSubstr("200 OK"));
  EXPECT_THAT(get(proxy_port_, "/livez?x"), HasSubstr("200 OK"));
  EXPECT_THAT(get(proxy_port_, "/metrics"), HasSubstr("404 Not Found"));
  follow({}, false);
  EXPECT_THAT(get(proxy_port_, "/healthz"), HasSubstr("503 Service Unavailable"));
}

// Load balancers ask one of the two, probes the other.
TEST_F(HealthChecksTest, NobodyNewIsSentToANodeThatLeaves) {
  const auto port = free_port();
  follow({{port, check(1)}}, true, true);
  EXPECT_THAT(get(proxy_port_, "/healthz"), HasSubstr("503 Service Unavailable"));
  EXPECT_THAT(get(proxy_port_, "/livez"), HasSubstr("200 OK"));
  EXPECT_THAT(get(port), HasSubstr("200 OK"));
  follow({}, false, false);
  EXPECT_THAT(get(proxy_port_, "/livez"), HasSubstr("503 Service Unavailable"));
}

TEST_F(HealthChecksTest, AreOnEveryAddressOfBothFamilies) {
  const auto port = free_port();
  follow({{port, check(1)}});
  const UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) GTEST_SKIP() << "the kernel has no IPv6";
  sockaddr_in6 place{};
  place.sin6_family = AF_INET6;
  place.sin6_port = htons(port);
  place.sin6_addr = in6addr_loopback;
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&place), sizeof place) != 0) {
    GTEST_SKIP() << "loopback has no IPv6 address: " << errno;
  }
  EXPECT_THAT(ask(fd, "GET / HTTP/1.0\r\n\r\n"), HasSubstr("200 OK"));
}

TEST_F(HealthChecksTest, FollowTheServices) {
  const auto first = free_port();
  const auto second = free_port();
  follow({{first, check(1)}});
  const auto open = connect_to(first);
  follow({{second, check(1)}});
  EXPECT_FALSE(connect_to(first).valid());
  EXPECT_EQ(read_all(open), "");
  EXPECT_THAT(get(second), HasSubstr("200"));
  // Another service may have the port next, and the connection that was open before hears of it.
  const auto kept = connect_to(second);
  follow({{first, check(1)}, {second, check(3, "other")}});
  EXPECT_EQ(body_of(ask(kept, "GET / HTTP/1.0\r\n\r\n"))["service"]["name"], "other");
  EXPECT_THAT(get(first), HasSubstr("200"));
  follow({});
  EXPECT_FALSE(connect_to(first).valid());
  EXPECT_FALSE(connect_to(second).valid());
}

TEST_F(HealthChecksTest, APortThatSomebodyHasIsNamedAndTriedAgain) {
  std::uint16_t port = 0;
  auto held = hold(port);
  const auto other = free_port();
  follow({{port, check(1)}, {other, check(1)}});
  EXPECT_THAT(problems(), ElementsAre(HasSubstr("service shop/web: healthCheckNodePort: listen on port " +
                                                std::to_string(port) + ": ")));
  EXPECT_THAT(get(other), HasSubstr("200"));
  held.reset();
  follow({{port, check(1)}, {other, check(1)}});
  EXPECT_THAT(problems(), IsEmpty());
  EXPECT_THAT(get(port), HasSubstr("200"));
}

TEST_F(HealthChecksTest, NonsenseIsClosed) {
  const auto port = free_port();
  follow({{port, check(1)}});
  EXPECT_EQ(fetch(port, "\x16\x03\x01 nonsense\r\n\r\n"), "");
  EXPECT_EQ(fetch(port, "GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n\r\n"), "");
  EXPECT_THAT(get(port), HasSubstr("200"));
}

}  // namespace
}  // namespace netkite::api::testing
