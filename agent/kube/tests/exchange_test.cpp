// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/patch.hpp"

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

Result<void> patch_at(Server& server, boost::asio::io_context& context, const Request& request) {
  Access access;
  EXPECT_TRUE(set_server(access, server.url()));
  auto connection = Connection::make(context.get_executor(), access).value();
  Result<void> outcome = fail(Code::io, "it did not end");
  const auto run = [&]() -> boost::asio::awaitable<void> {
    outcome = co_await connection->open();
    if (outcome) outcome = co_await patch(*connection, request);
    connection->close();
    server.stop();
  };
  boost::asio::co_spawn(context, run(), [](const std::exception_ptr& error) { EXPECT_FALSE(error); });
  context.run_for(std::chrono::seconds(20));
  return outcome;
}

TEST(Patch, IsSentWithItsTypeAndItsLength) {
  boost::asio::io_context context;
  Server server(context, [](const std::string&) { return whole(200, R"({"kind":"Node","spec":{}})"); });
  const auto done = patch_at(server, context, {.target = "/api/v1/nodes/a", .patch = kJsonPatch, .body = "[1]"});
  EXPECT_TRUE(done) << done.error().message;
  EXPECT_THAT(server.last_head, HasSubstr("PATCH /api/v1/nodes/a HTTP/1.1"));
  EXPECT_THAT(server.last_head, HasSubstr("Content-Type: application/json-patch+json"));
  EXPECT_THAT(server.last_head, HasSubstr("Content-Length: 3"));
}

TEST(Patch, ARefusalIsToldInTheServersWords) {
  boost::asio::io_context context;
  Server server(context, [](const std::string&) {
    return whole(403, R"({"kind":"Status","code":403,"message":"nodes is forbidden"})");
  });
  const auto done = patch_at(server, context, {.target = "/api/v1/nodes/a", .patch = kJsonPatch, .body = "[]"});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("/api/v1/nodes/a: the API server says 403: nodes is forbidden"));
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
