// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/cni_args.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace netkite::cni {
namespace {

using ::testing::HasSubstr;

TEST(CniArgs, EmptyIsFine) {
  const auto args = parse_cni_args("");
  ASSERT_TRUE(args);
  EXPECT_TRUE(args->ips.empty());
  EXPECT_FALSE(args->mac);
}

TEST(CniArgs, WhatKubernetesRuntimesSend) {
  const auto args = parse_cni_args(
      "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u-1");
  ASSERT_TRUE(args);
  EXPECT_EQ(args->pod_namespace, "default");
  EXPECT_EQ(args->pod_name, "web-0");
  EXPECT_EQ(args->pod_uid, "u-1");
}

TEST(CniArgs, OrderDoesNotMatter) {
  const auto args = parse_cni_args("COLOUR=red;K8S_POD_NAME=a;IgnoreUnknown=true;");
  ASSERT_TRUE(args);
  EXPECT_EQ(args->pod_name, "a");
}

TEST(CniArgs, UnknownKeyNeedsIgnoreUnknown) {
  for (const char* text : {"COLOUR=red", "IgnoreUnknown=0;COLOUR=red", "COLOUR=red;IgnoreUnknown=false"}) {
    const auto args = parse_cni_args(text);
    ASSERT_FALSE(args) << text;
    EXPECT_EQ(args.error().code, ErrorCode::environment);
    EXPECT_THAT(args.error().message, HasSubstr("CNI_ARGS: key \"COLOUR\""));
  }
}

TEST(CniArgs, AddressesAndMac) {
  const auto args = parse_cni_args("IP=10.0.0.5,fd00::5/64;MAC=02:00:00:00:00:01");
  ASSERT_TRUE(args);
  ASSERT_EQ(args->ips.size(), 2U);
  EXPECT_EQ(args->ips[0].to_string(), "10.0.0.5");
  EXPECT_EQ(args->ips[1].to_string(), "fd00::5");
  ASSERT_TRUE(args->mac);
  EXPECT_EQ(args->mac->to_string(), "02:00:00:00:00:01");
}

TEST(CniArgs, ValuesMayHoldEqualsSigns) {
  const auto args = parse_cni_args("K8S_POD_UID=a=b");
  ASSERT_TRUE(args);
  EXPECT_EQ(args->pod_uid, "a=b");
}

TEST(CniArgs, WantedIpPrefixLengths) {
  EXPECT_TRUE(parse_wanted_ip("10.0.0.1/0"));
  EXPECT_TRUE(parse_wanted_ip("10.0.0.1/32"));
  for (const char* text :
       {"10.0.0.1/33", "10.0.0.1/", "10.0.0.1/x", "10.0.0.1/24x", "10.0.0.1/-1", "fd00::1/129", "/24"}) {
    EXPECT_FALSE(parse_wanted_ip(text)) << text;
  }
}

}  // namespace
}  // namespace netkite::cni
