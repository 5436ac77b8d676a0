// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "cni-plugin/input.hpp"
#include "cni-plugin/output.hpp"
#include "cni-plugin/verbs.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::cni {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

UniqueFd file_with(const std::string& text) {
  UniqueFd fd(::memfd_create("input", MFD_CLOEXEC));
  EXPECT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_SET), 0);
  return fd;
}

TEST(Input, ReadsUpToItsLimit) {
  const std::string text(kMaxInput, ' ');
  EXPECT_EQ(*read_input(file_with(text).get()), text);
  const auto refused = read_input(file_with(text + " ").get());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::config);
  EXPECT_THAT(refused.error().message, HasSubstr("larger than 1 MiB"));
}

TEST(Input, UnreadableIsAnIoError) {
  const auto refused = read_input(-1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::io);
}

TEST(Input, NestingIsBounded) {
  const auto nested = [](std::size_t depth) {
    return R"({"a":)" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_TRUE(decode_object(nested(kMaxDepth)));
  EXPECT_FALSE(decode_object(nested(kMaxDepth + 1)));
  EXPECT_FALSE(decode_object(nested(500'000)));
  // Brackets inside of strings do not count, escaped quotes do not end one.
  EXPECT_TRUE(decode_object(R"({"a": "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["})"));
}

TEST(Input, ValuesAreCounted) {
  const auto list = [](std::size_t commas) {
    std::string text = R"({"a":[0)";
    for (std::size_t i = 0; i < commas; ++i) text += ",0";
    return text + "]}";
  };
  EXPECT_TRUE(decode_object(list(kMaxCommas)));
  EXPECT_FALSE(decode_object(list(kMaxCommas + 1)));
  EXPECT_TRUE(decode_object(R"({"a": ")" + std::string(kMaxCommas + 1, ',') + R"("})"));
}

// The keys are those of the object itself, whatever is in the values of others.
TEST(Input, KeysAlone) {
  std::string text = R"({"a": {"name": "inner"}, "name": "n", "b": [{"name": 1}], "c": null, "x": [0)";
  for (unsigned i = 0; i <= kMaxCommas; ++i) text += ",0";
  text += R"(], "cniVersion": {"name": ["kept"]}})";
  EXPECT_FALSE(decode_object(text));
  const std::array<std::string_view, 3> keys = {"name", "cniVersion", "absent"};
  EXPECT_EQ(decode_keys(text, keys).value(), json::parse(R"({"name": "n", "cniVersion": {"name": ["kept"]}})"));
  for (const auto* bad : {"", "[]", "5", "{\"a\": }", "{\"a\": 1", "{} {}"})
    EXPECT_FALSE(decode_keys(bad, keys)) << bad;
}

TEST(Input, SyntaxErrorsTellThePlace) {
  const auto refused = decode_object("{\"name\": }");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::decode);
  EXPECT_THAT(refused.error().details, HasSubstr("column 10"));
}

std::string written(const json& object) {
  const UniqueFd fd(::memfd_create("output", MFD_CLOEXEC));
  Output output(fd.get());
  EXPECT_TRUE(output.write(object));
  std::string text(4096, '\0');
  text.resize(static_cast<std::size_t>(::pread(fd.get(), text.data(), text.size(), 0)));
  return text;
}

TEST(Output, OneLineOfJson) { EXPECT_EQ(written({{"a", 1}}), "{\"a\":1}\n"); }

TEST(Output, BadUtf8IsReplaced) { EXPECT_NO_THROW(std::ignore = json::parse(written({{"a", "\xff\xfe"}}))); }

TEST(Output, NeverTwo) {
  const UniqueFd fd(::memfd_create("output", MFD_CLOEXEC));
  Output output(fd.get());
  EXPECT_TRUE(output.write({{"a", 1}}));
  EXPECT_FALSE(output.write({{"b", 1}}));
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_CUR), 8);
}

TEST(Output, FailureIsTold) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  Output output(full.get());
  EXPECT_FALSE(output.write({{"a", 1}}));
}

TEST(Output, ErrorForm) {
  const CniError error = {.code = ErrorCode::exhausted, .message = "m", .details = ""};
  EXPECT_EQ(to_json(error, SpecVersion::v1_0_0), json({{"cniVersion", "1.0.0"}, {"code", 101}, {"msg", "m"}}));
  EXPECT_EQ(to_json({.code = ErrorCode::decode, .message = "m", .details = "d"}, SpecVersion::v1_0_0)["details"], "d");
}

TEST(VersionVerb, EchoesWhatIsAsked) {
  EXPECT_EQ(verb_version(R"({"cniVersion": "0.4.0"})")["cniVersion"], "0.4.0");
  for (const char* input : {"", "{}", "rubbish", R"({"cniVersion": "9.9.9"})", R"({"cniVersion": 5})"}) {
    const json answer = verb_version(input);
    EXPECT_EQ(answer["cniVersion"], "1.1.0") << input;
    EXPECT_EQ(answer["supportedVersions"], json({"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}));
  }
}

}  // namespace
}  // namespace netkite::cni
