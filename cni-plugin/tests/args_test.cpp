// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/args.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace netkite::cni {
namespace {

using ::testing::HasSubstr;

Environment good(const std::string& command) {
  return {.command = command, .container_id = "c1", .netns = "/run/netns/x", .ifname = "eth0", .args = "A=B"};
}

TEST(Args, EveryVerbIsKnown) {
  for (const Command command :
       {Command::add, Command::del, Command::check, Command::gc, Command::status, Command::version}) {
    const auto args = parse_args(good(std::string(to_string(command))));
    ASSERT_TRUE(args) << to_string(command);
    EXPECT_EQ(args->command, command);
  }
}

TEST(Args, AddTakesAllOfIt) {
  const auto args = parse_args(good("ADD"));
  ASSERT_TRUE(args);
  EXPECT_EQ(args->container_id, "c1");
  EXPECT_EQ(args->netns, "/run/netns/x");
  EXPECT_EQ(args->ifname, "eth0");
  EXPECT_EQ(args->cni_args, "A=B");
}

TEST(Args, DelWorksWithoutNetns) {
  auto environment = good("DEL");
  environment.netns.clear();
  EXPECT_TRUE(parse_args(environment));
}

TEST(Args, GcAndStatusIgnoreEmptyAndStaleVariables) {
  for (const char* command : {"GC", "STATUS", "VERSION"}) {
    EXPECT_TRUE(parse_args({.command = command, .container_id = "", .netns = "", .ifname = "", .args = ""}));
    const auto args = parse_args(
        {.command = command, .container_id = "//", .netns = "/x", .ifname = "a name too long for it", .args = "?"});
    ASSERT_TRUE(args);
    EXPECT_EQ(args->container_id, "");
  }
}

TEST(Args, LongestNamesPass) {
  auto environment = good("ADD");
  environment.container_id = std::string(255, 'a');
  environment.ifname = "abcdefghijklmno";
  EXPECT_TRUE(parse_args(environment));
}

TEST(Args, LongValuesAreCutInTheMessage) {
  auto environment = good("ADD");
  environment.container_id = "-" + std::string(5000, 'x');
  const auto args = parse_args(environment);
  ASSERT_FALSE(args);
  EXPECT_LT(args.error().message.size(), 400U);
  EXPECT_THAT(args.error().message, HasSubstr("CNI_CONTAINERID"));
}

TEST(Args, ControlCharactersDoNotReachTheMessage) {
  const auto args = parse_args(good("ADD\n\x1b[31m"));
  ASSERT_FALSE(args);
  EXPECT_THAT(args.error().message, HasSubstr("\"ADD??[31m\""));
}

}  // namespace
}  // namespace netkite::cni
