// SPDX-License-Identifier: Apache-2.0
#include "cli/prefixes.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace netkite::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> texts(const std::vector<Cidr>& prefixes) {
  std::vector<std::string> all;
  for (const auto& prefix : prefixes) all.push_back(prefix.to_string());
  return all;
}

TEST(Prefixes, CommentsSpaceAndBlankLinesAreSkipped) {
  std::istringstream input("# bad networks\n\n  203.0.113.0/24  # since May\r\n2001:db8::/32\n\t#\n198.51.100.7/32");
  const auto prefixes = read_prefixes(input, "list");
  ASSERT_TRUE(prefixes) << prefixes.error().message;
  EXPECT_THAT(texts(*prefixes), ElementsAre("203.0.113.0/24", "2001:db8::/32", "198.51.100.7/32"));
}

TEST(Prefixes, ErrorsNameFileLineAndValue) {
  std::istringstream input("203.0.113.0/24\n\n203.0.113.0/33\n");
  const auto prefixes = read_prefixes(input, "list");
  ASSERT_FALSE(prefixes);
  EXPECT_EQ(prefixes.error().code, Code::invalid);
  EXPECT_THAT(prefixes.error().message, HasSubstr("list:3: "));
  EXPECT_THAT(prefixes.error().message, HasSubstr("203.0.113.0/33"));
}

TEST(Prefixes, OperandsAndFileTogetherWithoutDuplicates) {
  const auto path = std::filesystem::temp_directory_path() / ("netkite-prefixes-" + std::to_string(getpid()));
  std::ofstream(path) << "10.0.0.0/8\n192.0.2.0/24\n";
  Arguments arguments;
  arguments.operands = {"192.0.2.0/24", "fd00::/8"};
  arguments.file = path;
  const auto prefixes = gather_prefixes(arguments);
  std::filesystem::remove(path);
  ASSERT_TRUE(prefixes) << prefixes.error().message;
  EXPECT_THAT(texts(*prefixes), ElementsAre("192.0.2.0/24", "fd00::/8", "10.0.0.0/8"));
}

TEST(Prefixes, AMissingFileAndAnEmptyListAreErrors) {
  Arguments missing;
  missing.file = "/nonexistent/list";
  const auto absent = gather_prefixes(missing);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, Code::not_found);
  EXPECT_THAT(absent.error().message, HasSubstr("/nonexistent/list"));
  Arguments empty;
  empty.file = "/dev/null";
  ASSERT_FALSE(gather_prefixes(empty));
}

}  // namespace
}  // namespace netkite::cli
