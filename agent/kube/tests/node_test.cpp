// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/node.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/kube/reading.hpp"

namespace netkite::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Cidr cidr(const char* text) { return Cidr::parse(text).value(); }
Ip ip(const char* text) { return Ip::parse(text).value(); }

TEST(Node, HasItsRangesInAnyOrderAndOneAddressOfEachFamily) {
  const auto node = node_from(Json::parse(R"({"metadata":{"name":"a","creationTimestamp":"2026-01-02T03:04:05Z"},
    "spec":{"podCIDR":"fd00:1::/64","podCIDRs":["fd00:1::/64","10.244.1.0/24"]},
    "status":{"addresses":[{"type":"Hostname","address":"a"},{"type":"InternalIP","address":"2001:db8::1"},
      {"type":"ExternalIP","address":"203.0.113.1"},{"type":"InternalIP","address":"192.0.2.1"},
      {"type":"InternalIP","address":"192.0.2.9"}]}})"));
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_EQ(node->name, "a");
  EXPECT_EQ(node->created, "2026-01-02T03:04:05Z");
  EXPECT_THAT(node->pod_ranges, ElementsAre(cidr("fd00:1::/64"), cidr("10.244.1.0/24")));
  EXPECT_THAT(node->addresses, ElementsAre(ip("2001:db8::1"), ip("192.0.2.1")));
  EXPECT_EQ(node_from(to_json(*node)), *node);
}

TEST(Node, NeedsNoMoreThanTheFieldsThatAreAskedFor) {
  const auto json = Json::parse(R"({"metadata":{"name":"a","uid":"u","creationTimestamp":"2026-01-02T03:04:05Z",
    "labels":{"topology.kubernetes.io/zone":"z"}},"spec":{"podCIDRs":["10.244.1.0/24"]},
    "status":{"addresses":[{"type":"InternalIP","address":"192.0.2.1"}]}})");
  auto fields = nodes().fields;
  fields.merge({"metadata.name"});
  Json picked;
  Picker picker(std::move(fields), {}, [&picked](Json document) { picked = std::move(document); });
  ASSERT_TRUE(JsonStream(picker).feed(json.dump()));
  EXPECT_FALSE(picked["metadata"].contains("uid"));
  EXPECT_EQ(node_from(picked).value(), node_from(json).value());
}

TEST(Node, LeavesWhenItIsDeletedOrTheAutoscalerSaysSo) {
  const auto leaves = [](const char* text) {
    const auto json = Json::parse(text);
    auto fields = nodes().fields;
    fields.merge({"metadata.name"});
    Json picked;
    Picker picker(std::move(fields), {}, [&picked](Json document) { picked = std::move(document); });
    EXPECT_TRUE(JsonStream(picker).feed(json.dump()));
    return node_from(picked).value().leaving;
  };
  EXPECT_FALSE(leaves(R"({"metadata":{"name":"a"},"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}})"));
  EXPECT_TRUE(leaves(R"({"metadata":{"name":"a","deletionTimestamp":"2026-01-02T03:04:05Z"}})"));
  EXPECT_TRUE(
      leaves(R"({"metadata":{"name":"a"},"spec":{"taints":[{"key":"a"},{"key":"ToBeDeletedByClusterAutoscaler"}]}})"));
}

TEST(Node, OldServersHaveOneRange) {
  EXPECT_THAT(node_from(Json::parse(R"({"metadata":{"name":"a"},"spec":{"podCIDR":"10.244.1.0/24"}})"))->pod_ranges,
              ElementsAre(cidr("10.244.1.0/24")));
}

TEST(Node, MayHaveNothingYet) {
  for (const char* text : {"{}", "[]", "null", R"({"metadata":[],"spec":7,"status":{"addresses":"x"}})",
                           R"({"spec":{"podCIDRs":[]},"status":{"addresses":[1,[],{"type":1}]}})"}) {
    const auto node = node_from(Json::parse(text));
    ASSERT_TRUE(node) << text;
    EXPECT_THAT(node->pod_ranges, IsEmpty());
    EXPECT_THAT(node->addresses, IsEmpty());
  }
}

TEST(Node, NonsenseIsNamed) {
  const auto message = [](const char* text) { return node_from(Json::parse(text)).error().message; };
  EXPECT_THAT(message(R"({"metadata":{"name":"a"},"spec":{"podCIDRs":["10.0.0.1/8"]}})"),
              HasSubstr("node a: spec.podCIDRs"));
  EXPECT_THAT(message(R"({"spec":{"podCIDRs":[1]}})"), HasSubstr("no string"));
  EXPECT_THAT(message(R"({"status":{"addresses":[{"type":"InternalIP","address":"x"}]}})"),
              HasSubstr("status.addresses"));
}

TEST(Node, IsRefusedUnlessItIsWhole) {
  auto json = Json::parse(R"({"metadata":{"name":"a"}})");
  mark_as_part(json);
  EXPECT_THAT(node_from(json).error().message, HasSubstr("node a: it holds more than is kept"));
}

TEST(Query, IsEncoded) {
  EXPECT_EQ(percent_encoded("aZ09-_.~"), "aZ09-_.~");
  EXPECT_EQ(percent_encoded("a b/+=\xc3\xa9&"), "a%20b%2F%2B%3D%C3%A9%26");
}

}  // namespace
}  // namespace netkite::kube
