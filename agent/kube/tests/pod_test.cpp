// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/pod.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace netkite::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(Pod, HasNamesAndLabels) {
  const auto pod = pod_from(Json::parse(R"({"metadata": {"namespace": "shop", "name": "web-0", "uid": "u-1",
    "annotations": {"kubernetes.io/config.hash": "h-1"}, "labels": {"app": "web", "tier": ""}}})"));
  ASSERT_TRUE(pod) << pod.error().message;
  EXPECT_EQ(pod->space, "shop");
  EXPECT_EQ(pod->name, "web-0");
  EXPECT_THAT(pod->uids, ElementsAre("h-1", "u-1"));
  EXPECT_THAT(pod->labels, ElementsAre(Pair("app", "web"), Pair("tier", "")));
}

TEST(Pod, MayHaveNothing) {
  for (const char* text : {"{}", "[]", "null", R"({"metadata": {"labels": null, "uid": 7}})",
                           R"({"metadata": {"labels": ["a"], "annotations": "x"}})"}) {
    const auto pod = pod_from(Json::parse(text));
    ASSERT_TRUE(pod) << text;
    EXPECT_THAT(pod->uids, IsEmpty()) << text;
    EXPECT_THAT(pod->labels, IsEmpty()) << text;
  }
}

TEST(Pod, LabelsAreStrings) {
  const auto pod = pod_from(Json::parse(R"({"metadata": {"namespace": "n", "name": "p", "labels": {"app": true}}})"));
  ASSERT_FALSE(pod);
  EXPECT_THAT(pod.error().message, HasSubstr("pod n/p: metadata.labels.app"));
}

TEST(Pod, IsRefusedUnlessItIsWhole) {
  auto json = Json::parse(R"({"metadata": {"namespace": "n", "name": "p"}})");
  mark_as_part(json);
  EXPECT_THAT(pod_from(json).error().message, HasSubstr("pod n/p: it holds more than is kept"));
}

TEST(Pod, OnlyThoseOfTheNodeAreAskedFor) {
  EXPECT_EQ(pods_on("node a").selector, "fieldSelector=spec.nodeName%3Dnode%20a");
}

}  // namespace
}  // namespace netkite::kube
