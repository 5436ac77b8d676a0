// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.hpp"

#include <gmock/gmock.h>

namespace netkite::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<Arguments> parse(const std::vector<std::string>& words) {
  std::vector<std::string> line{"netkite"};
  for (const auto& word : words) line.push_back(word);
  std::vector<char*> pointers;
  for (auto& word : line) pointers.push_back(word.data());
  return parse_arguments(pointers);
}

std::string refusal(const std::vector<std::string>& words) {
  const auto parsed = parse(words);
  if (parsed) return "";
  EXPECT_EQ(parsed.error().code, Code::invalid);
  return parsed.error().message;
}

TEST(Arguments, Defaults) {
  const auto parsed = parse({"status"});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->command, "status");
  EXPECT_EQ(parsed->socket, "/run/netkite/agent.sock");
  EXPECT_EQ(parsed->output, Output::table);
}

TEST(Arguments, OptionsStandAnywhereAndInEitherForm) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"-o", "json", "--socket=/x", "drops"}, {"drops", "--output", "json", "-s", "/x"}}) {
    const auto parsed = parse(words);
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(parsed->command, "drops");
    EXPECT_EQ(parsed->output, Output::json);
    EXPECT_EQ(parsed->socket, "/x");
  }
}

TEST(Arguments, PrefilterTakesPrefixesOrAFile) {
  const auto with_prefixes = parse({"prefilter", "add", "10.0.0.0/8", "fd00::/8"});
  ASSERT_TRUE(with_prefixes);
  EXPECT_EQ(with_prefixes->command, "prefilter add");
  EXPECT_THAT(with_prefixes->operands, ElementsAre("10.0.0.0/8", "fd00::/8"));
  const auto with_file = parse({"prefilter", "del", "-f", "list"});
  ASSERT_TRUE(with_file);
  EXPECT_EQ(with_file->file, "list");
  EXPECT_THAT(refusal({"prefilter", "add"}), HasSubstr("wants PREFIX"));
  EXPECT_THAT(refusal({"prefilter"}), HasSubstr("add, del or list"));
  EXPECT_THAT(refusal({"prefilter", "list", "-f", "x"}), HasSubstr("takes no --file"));
}

TEST(Arguments, MonitorTakesLimits) {
  const auto parsed = parse({"monitor", "-n", "5", "--timeout", "7"});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->count, 5U);
  EXPECT_EQ(parsed->timeout, std::chrono::seconds(7));
  for (const std::string value : {"0", "-1", "x", "5x", ""}) {
    EXPECT_THAT(refusal({"monitor", "-n", value}), HasSubstr("--count")) << value;
  }
}

TEST(Arguments, WrongUsageNamesTheWord) {
  EXPECT_THAT(refusal({}), HasSubstr("no command"));
  EXPECT_THAT(refusal({"frobnicate"}), HasSubstr("frobnicate"));
  EXPECT_THAT(refusal({"status", "extra"}), HasSubstr("extra"));
  EXPECT_THAT(refusal({"status", "--nonsense"}), HasSubstr("--nonsense"));
  EXPECT_THAT(refusal({"status", "-o"}), HasSubstr("-o wants a value"));
  EXPECT_THAT(refusal({"status", "-o", "xml"}), HasSubstr("xml"));
  EXPECT_THAT(refusal({"status", "--count", "1"}), HasSubstr("takes no --count"));
  EXPECT_THAT(refusal({"completion"}), HasSubstr("wants SHELL"));
}

TEST(Arguments, HelpNeedsNoCommandAndListsAllOfThem) {
  const auto parsed = parse({"--help"});
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->help);
  for (const char* command : {"status", "endpoints", "drops", "monitor", "prefilter add", "check", "completion"}) {
    EXPECT_THAT(usage(), HasSubstr(command));
  }
}

}  // namespace
}  // namespace netkite::cli
