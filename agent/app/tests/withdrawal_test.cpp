// SPDX-License-Identifier: Apache-2.0
#include "agent/app/withdrawal.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "agent/kube/tests/server.hpp"

namespace netkite::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kSet = "/apis/apps/v1/namespaces/net/daemonsets/netkite";
constexpr const char* kRole = "/apis/rbac.authorization.k8s.io/v1/clusterroles/netkite-agent";

std::string set_with(std::int64_t generation, int desired, int updated, int ready) {
  return nlohmann::json{{"metadata", {{"generation", generation}}},
                        {"status",
                         {{"observedGeneration", 3},
                          {"desiredNumberScheduled", desired},
                          {"updatedNumberScheduled", updated},
                          {"numberReady", ready}}}}
      .dump();
}

class WithdrawalTest : public ::testing::Test {
 protected:
  Result<bool> once() {
    kube::Access access;
    EXPECT_TRUE(kube::set_server(access, server_.url()));
    auto connection = kube::Connection::make(context_.get_executor(), access).value();
    Result<bool> outcome = fail(Code::io, "it did not end");
    const auto run = [&]() -> boost::asio::awaitable<void> {
      if (co_await connection->open()) outcome = co_await withdraw_once(*connection, "net");
      connection->close();
      server_.stop();
    };
    boost::asio::co_spawn(context_, run(), [](const std::exception_ptr& error) { EXPECT_FALSE(error); });
    context_.run_for(std::chrono::seconds(20));
    return outcome;
  }

  std::string set_ = set_with(3, 2, 2, 2), role_ = R"({"metadata":{"uid":"u-1"}})";
  std::string missing_;  // a target
  boost::asio::io_context context_;
  kube::Server server_{context_, [this](const std::string& target) {
                         if (target == missing_) return kube::whole(404, R"({"message":"not found"})");
                         return kube::whole(200, target == kSet ? set_ : target == kRole ? role_ : R"({"kind":"X"})");
                       }};
};

TEST_F(WithdrawalTest, TheRoleOwnsTheRestAndGoes) {
  EXPECT_EQ(once(), true);
  EXPECT_THAT(server_.targets, ElementsAre(kSet, kRole, "/api/v1/namespaces/net/configmaps/netkite",
                                           "/api/v1/namespaces/net/serviceaccounts/netkite-agent",
                                           "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/netkite-agent", kSet,
                                           std::string(kRole) + "?propagationPolicy=Background"));
  EXPECT_THAT(server_.last_head, HasSubstr("DELETE "));
}

class UnfinishedTest : public WithdrawalTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(UnfinishedTest, NothingGoesBeforeEveryNodeIsDone) {
  set_ = GetParam();
  EXPECT_EQ(once(), false);
  EXPECT_THAT(server_.targets, ElementsAre(kSet));
}

INSTANTIATE_TEST_SUITE_P(Sets, UnfinishedTest,
                         ::testing::Values(set_with(4, 2, 2, 2), set_with(3, 2, 1, 2), set_with(3, 2, 2, 1),
                                           set_with(3, 0, 0, 0), "{}", R"({"status":{"numberReady":"2"}})"));

TEST_F(WithdrawalTest, WhatIsGoneAlreadyIsNoHindrance) {
  missing_ = "/api/v1/namespaces/net/configmaps/netkite";
  EXPECT_EQ(once(), true);
}

TEST_F(WithdrawalTest, NothingGoesWithoutAnOwner) {
  role_ = "{}";
  const auto outcome = once();
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().message, HasSubstr("gives no uid"));
  EXPECT_THAT(server_.targets, ElementsAre(kSet, kRole));
}

}  // namespace
}  // namespace netkite::app
