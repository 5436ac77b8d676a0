// SPDX-License-Identifier: Apache-2.0
#include "cli/table.hpp"

#include <gtest/gtest.h>

#include "cli/fields.hpp"

namespace netkite::cli {
namespace {

TEST(Table, AlignsColumnsAndNumbers) {
  Table table({"REASON", "PACKETS", "NOTE"});
  table.add({"spoofed-source", "7", "a"});
  table.add({"loopback", "12345", ""});
  EXPECT_EQ(table.to_string(),
            "REASON          PACKETS  NOTE\n"
            "spoofed-source        7  a\n"
            "loopback          12345\n");
}

TEST(Table, WithoutRowsHasItsHeaders) { EXPECT_EQ(Table({"A", "B"}).to_string(), "A  B\n"); }

TEST(Table, MixedColumnsStayLeft) {
  Table table({"X", "Y"});
  table.add({"10", "z"});
  table.add({"a", "z"});
  EXPECT_EQ(table.to_string(), "X   Y\n10  z\na   z\n");
}

TEST(Table, CellsCannotSteerTheTerminal) {
  Table table({"NAME"});
  table.add({"\033[2Jpod\n\x7f"});
  EXPECT_EQ(table.to_string(), "NAME\n?[2Jpod??\n");
}

TEST(Fields, ToleratesWhatIsMissingOrOdd) {
  const auto json = nlohmann::json::parse(R"({"s": "x", "n": 5, "l": ["a", 1], "o": {}, "b": true})");
  EXPECT_EQ(text(json, "s"), "x");
  EXPECT_EQ(text(json, "n"), "5");
  EXPECT_EQ(text(json, "b"), "true");
  EXPECT_EQ(text(json, "o"), "");
  EXPECT_EQ(text(json, "absent"), "");
  EXPECT_EQ(joined(json, "l"), "a, 1");
  EXPECT_EQ(whole_number(json, "s"), 0U);
  EXPECT_TRUE(items(json, "s").empty());
  EXPECT_TRUE(items(nlohmann::json("text"), "s").empty());
}

TEST(Fields, ReadableFigures) {
  EXPECT_EQ(readable_bytes(512), "512 bytes");
  EXPECT_EQ(readable_bytes(3'355'443), "3.2 MiB");
  EXPECT_EQ(readable_seconds(0), "0s");
  EXPECT_EQ(readable_seconds(125), "2m 5s");
  EXPECT_EQ(readable_seconds(273'600), "3d 4h");
}

}  // namespace
}  // namespace netkite::cli
