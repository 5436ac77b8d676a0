// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/exchange.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>

#include "agent/kube/node.hpp"
#include "agent/kube/tests/server.hpp"

namespace netkite::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<Json> exchange_with(Server& server, boost::asio::io_context& context, const Request& request,
                           const Fields& wanted = {}) {
  Access access;
  EXPECT_TRUE(set_server(access, server.url()));
  auto connection = Connection::make(context.get_executor(), access).value();
  Result<Json> outcome = fail(Code::io, "it did not end");
  const auto run = [&]() -> boost::asio::awaitable<void> {
    if (const auto opened = co_await connection->open(); opened) {
      outcome = co_await exchange(*connection, request, wanted);
    }
    connection->close();
    server.stop();
  };
  boost::asio::co_spawn(context, run(), [](const std::exception_ptr& error) { EXPECT_FALSE(error); });
  context.run_for(std::chrono::seconds(20));
  return outcome;
}

TEST(Exchange, APatchIsSentWithItsTypeAndItsLength) {
  boost::asio::io_context context;
  Server server(context, [](const std::string&) { return whole(200, R"({"kind":"Node","spec":{}})"); });
  const auto done = exchange_with(server, context, {.target = "/api/v1/nodes/a", .patch = kJsonPatch, .body = "[1]"});
  EXPECT_TRUE(done) << done.error().message;
  EXPECT_THAT(server.last_head, HasSubstr("PATCH /api/v1/nodes/a HTTP/1.1"));
  EXPECT_THAT(server.last_head, HasSubstr("Content-Type: application/json-patch+json"));
  EXPECT_THAT(server.last_head, HasSubstr("Content-Length: 3"));
}

TEST(Exchange, ARefusalIsToldInTheServersWords) {
  boost::asio::io_context context;
  Server server(context, [](const std::string&) {
    return whole(403, R"({"kind":"Status","code":403,"message":"nodes is forbidden"})");
  });
  const auto done = exchange_with(server, context, {.target = "/api/v1/nodes/a", .patch = kJsonPatch, .body = "[]"});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("/api/v1/nodes/a: the API server says 403: nodes is forbidden"));
}

TEST(Exchange, GivesTheWantedFields) {
  boost::asio::io_context context;
  Server server(context,
                [](const std::string&) { return whole(200, R"({"kind":"X","metadata":{"uid":"1","name":"x"}})"); });
  const auto object = exchange_with(server, context, {.target = "/x", .patch = {}, .body = {}}, {"metadata.uid"});
  ASSERT_TRUE(object) << object.error().message;
  EXPECT_EQ(*object, Json::parse(R"({"metadata":{"uid":"1"}})"));
  EXPECT_THAT(server.last_head, HasSubstr("GET /x HTTP/1.1"));
}

TEST(Exchange, HalfAnObjectIsNoAnswer) {
  boost::asio::io_context context;
  Json object = {{"a", Json::array_t(6, std::string(1U << 20, 'x'))}};
  Server server(context, [&object](const std::string&) { return whole(200, object.dump()); });
  const auto done = exchange_with(server, context, {.target = "/x", .patch = {}, .body = {}});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("/x: it holds more than is kept"));
}

TEST(Exchange, WhatIsNotThereIsToldApart) {
  boost::asio::io_context context;
  Server server(context, [](const std::string&) { return whole(404, R"({"message":"x not found"})"); });
  const auto object = exchange_with(server, context, {.target = "/x", .patch = {}, .body = {}, .remove = true});
  ASSERT_FALSE(object);
  EXPECT_EQ(object.error().code, Code::not_found);
  EXPECT_THAT(server.last_head, HasSubstr("DELETE /x HTTP/1.1"));
}

TEST(Marks, AreReadFromWhateverThereIs) {
  const auto marks = marks_from(Json::parse(R"({"spec":{"taints":[{"key":"x"},{"key":"netkite.io/agent-not-ready"},7]},
    "status":{"conditions":[{"type":"Ready","status":"False"},{"type":"NetworkUnavailable","status":"True"}]}})"));
  EXPECT_THAT(marks.taints, ElementsAre(false, true, false));
  EXPECT_FALSE(marks.network_said);
  EXPECT_TRUE(marks_from(Json::parse(R"({"status":{"conditions":[{"type":"NetworkUnavailable","status":"False"}]}})"))
                  .network_said);
  for (const char* text : {"{}", "[]", R"({"spec":{"taints":{}},"status":{"conditions":[1,[]]}})"}) {
    EXPECT_EQ(marks_from(Json::parse(text)), NodeMarks()) << text;
  }
}

TEST(Marks, NothingIsAskedForWhenAllIsSaid) {
  EXPECT_THAT(requests_for("a", {.taints = {false}, .network_said = true}, "now"), IsEmpty());
}

TEST(Marks, OurTaintsGoFromTheLastOneOnAndTheOthersStay) {
  const auto requests = requests_for("a", {.taints = {true, false, true}, .network_said = true}, "now");
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].target, "/api/v1/nodes/a");
  EXPECT_EQ(requests[0].patch, kJsonPatch);
  EXPECT_EQ(Json::parse(requests[0].body), Json::parse(R"([
    {"op":"test","path":"/spec/taints/2/key","value":"netkite.io/agent-not-ready"}, {"op":"remove","path":"/spec/taints/2"},
    {"op":"test","path":"/spec/taints/0/key","value":"netkite.io/agent-not-ready"}, {"op":"remove","path":"/spec/taints/0"}
  ])"));
}

TEST(Marks, TheConditionIsAPatchOfTheStatus) {
  const auto requests = requests_for("a b", {}, "2026-01-02T03:04:05Z");
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].target, "/api/v1/nodes/a%20b/status");
  EXPECT_EQ(requests[0].patch, kStrategicPatch);
  const auto condition = Json::parse(requests[0].body).at("status").at("conditions").at(0);
  EXPECT_EQ(condition.at("type"), "NetworkUnavailable");
  EXPECT_EQ(condition.at("status"), "False");
  EXPECT_EQ(condition.at("lastTransitionTime"), "2026-01-02T03:04:05Z");
}

}  // namespace
}  // namespace netkite::kube
