// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/prev_result.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace netkite::cni {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

json chain_result() {
  return json::parse(R"({
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "nk1"}, {"name": "eth0", "sandbox": "/run/netns/x"}, {"name": "ifb1"}],
    "ips": [{"address": "10.0.0.5/32", "interface": 1}, {"address": "192.0.2.1/24", "interface": 2},
            {"address": "fd00::5/128", "interface": 1}],
    "routes": [{"dst": "0.0.0.0/0"}]})");
}

TEST(PrevResult, FamiliesComeAndGoWithTheVersion) {
  auto older = convert_prev_result(chain_result(), SpecVersion::v0_4_0);
  ASSERT_TRUE(older);
  EXPECT_EQ((*older)["ips"][0]["version"], "4");
  EXPECT_EQ((*older)["ips"][2]["version"], "6");
  auto newer = convert_prev_result(*older, SpecVersion::v1_0_0);
  ASSERT_TRUE(newer);
  EXPECT_EQ(*newer, chain_result());
}

TEST(PrevResult, AbsentGivesEmptyLists) {
  const auto result = convert_prev_result(nullptr, SpecVersion::v1_0_0);
  ASSERT_TRUE(result);
  EXPECT_EQ(*result, json::parse(R"({"cniVersion": "1.0.0", "interfaces": [], "ips": [], "routes": []})"));
}

TEST(PrevResult, WrongTypesAreNamed) {
  for (const auto& [key, value] : {std::pair<const char*, json>{"interfaces", 5},
                                   {"ips", "x"},
                                   {"routes", json::object()},
                                   {"interfaces", json::array({1})},
                                   {"ips", json::array({json::array()})}}) {
    const auto result = convert_prev_result({{key, value}}, SpecVersion::v1_0_0);
    ASSERT_FALSE(result) << key;
    EXPECT_EQ(result.error().code, ErrorCode::config);
    EXPECT_THAT(result.error().message, HasSubstr(std::string("prevResult.") + key));
  }
}

TEST(PrevResult, ExpectedIsWhatBelongsToTheInterface) {
  const auto expected = read_expected(chain_result(), "eth0");
  ASSERT_TRUE(expected) << expected.error().message;
  EXPECT_THAT(expected->addresses, ElementsAre(*Ip::parse("10.0.0.5"), *Ip::parse("fd00::5")));
  EXPECT_THAT(expected->host_interfaces, ElementsAre("nk1", "ifb1"));
  EXPECT_TRUE(expected->default4);
  EXPECT_FALSE(expected->default6);
}

TEST(PrevResult, AnotherInterfaceIsAnError) {
  const auto expected = read_expected(chain_result(), "eth1");
  ASSERT_FALSE(expected);
  EXPECT_EQ(expected.error().code, ErrorCode::config);
  EXPECT_THAT(expected.error().message, HasSubstr("prevResult.interfaces does not list CNI_IFNAME eth1"));
}

}  // namespace
}  // namespace netkite::cni
