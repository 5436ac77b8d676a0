// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/json_stream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "agent/kube/picker.hpp"

namespace netkite::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Picked {
  std::vector<Json> items, documents;
  bool good = false, whole = false;
};

// Feeds `text` in pieces of `size` bytes.
Picked pick(const std::string& text, std::size_t size, Fields fields = {}) {
  Picked picked;
  Picker picker(
      std::move(fields), [&picked](Json item) { picked.items.push_back(std::move(item)); },
      [&picked](Json document) { picked.documents.push_back(std::move(document)); });
  JsonStream stream(picker);
  picked.good = true;
  for (std::size_t at = 0; at < text.size() && picked.good; at += size) {
    picked.good = stream.feed(std::string_view(text).substr(at, size)).has_value();
  }
  picked.whole = stream.between_documents();
  return picked;
}

TEST(JsonStream, ReadsWhatTheLibraryReadsInPiecesOfAnySize) {
  const std::string texts[] = {
      R"({})",
      R"([])",
      R"("")",
      R"({"a":{"b":[1,-2.5e3,true,false,null,"x",[],{}]},"":" "})",
      R"("\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00 é€")",
      " [ 1 , { \"k\" : \"v\" } ]\r\n\t",
      R"({"same":1,"same":2})",
  };
  for (const auto& text : texts) {
    for (std::size_t size = 1; size <= text.size(); ++size) {
      const auto picked = pick(text, size);
      ASSERT_TRUE(picked.good && picked.whole) << text << " in pieces of " << size;
      ASSERT_THAT(picked.documents, ElementsAre(Json::parse(text))) << text << " in pieces of " << size;
    }
  }
}

TEST(JsonStream, ReadsOneDocumentAfterTheOther) {
  const auto picked = pick("{\"a\":1}\n{\"a\":2}{} 3 \"x\"\n", 3);
  ASSERT_TRUE(picked.good);
  EXPECT_THAT(picked.documents, ElementsAre(Json{{"a", 1}}, Json{{"a", 2}}, Json::object(), Json(3), Json("x")));
}

TEST(JsonStream, RefusesWhatIsNoJson) {
  for (const char* text : {"{", "[1,2", "\"x", "tru", "{\"a\":"}) {  // not yet wrong, but not whole
    EXPECT_FALSE(pick(text, 1).whole) << text;
  }
  for (const char* text : {"}",
                           "]",
                           "[1}",
                           "{]",
                           "{1:2}",
                           "{\"a\" 1}",
                           "{\"a\":1,}",
                           "[1,]",
                           "[,1]",
                           "x",
                           "trux",
                           "nul ",
                           "01 ",
                           "1.e ",
                           "- ",
                           "+1 ",
                           "[1 2]",
                           "\"\\x\"",
                           "\"\\u12g4\"",
                           "\"\\ud83d\"",
                           "\"\\ud83dx\"",
                           "\"\\ud83d\\n\"",
                           "\"\\ude00\"",
                           "\"a\nb\"",
                           "<html>",
                           "HTTP/1.1 400"}) {
    EXPECT_FALSE(pick(text, 1).good) << text;
    EXPECT_FALSE(pick(text, 1000).good) << text;
  }
}

TEST(JsonStream, IsBounded) {
  EXPECT_TRUE(pick(std::string(JsonStream::kMaxDepth, '['), 7).good);
  EXPECT_FALSE(pick(std::string(JsonStream::kMaxDepth + 1, '['), 7).good);
  EXPECT_FALSE(pick("[" + std::string(100, '1') + "]", 7).good);
  EXPECT_TRUE(pick("\"" + std::string(JsonStream::kMaxText, 'x') + "\"", 4096).good);
  EXPECT_FALSE(pick("\"" + std::string(JsonStream::kMaxText + 1, 'x') + "\"", 4096).good);
  // Unwanted text costs nothing, however long it is.
  const auto huge = pick(R"({"no":")" + std::string(8U << 20, 'x') + R"(","yes":1})", 4096, {"yes"});
  EXPECT_THAT(huge.documents, ElementsAre(Json{{"yes", 1}}));
}

TEST(Picker, KeepsTheWantedFieldsAlone) {
  const auto picked =
      pick(R"({"a":{"b":1,"c":{"d":2,"b":3}},"l":[{"n":"x","m":[{"n":0}]},{"n":"y"},7],"all":{"deep":[1]}})", 1,
           {"a.b", "l.n", "all", "absent.x"});
  EXPECT_THAT(picked.documents,
              ElementsAre(Json::parse(R"({"a":{"b":1},"l":[{"n":"x"},{"n":"y"},7],"all":{"deep":[1]}})")));
}

TEST(Picker, HandsItemsOutOneByOne) {
  const Fields item{"metadata.name"};
  auto list = item.below("items");
  list.merge({"kind", "metadata.resourceVersion"});
  const auto picked =
      pick(R"({"kind":"L","items":[{"metadata":{"name":"a","x":{"items":[1]}}},{"metadata":{"name":"b"}}],)"
           R"("metadata":{"resourceVersion":"7","items":[]}})",
           5, list);
  EXPECT_THAT(picked.items,
              ElementsAre(Json::parse(R"({"metadata":{"name":"a"}})"), Json::parse(R"({"metadata":{"name":"b"}})")));
  EXPECT_THAT(picked.documents,
              ElementsAre(Json::parse(R"({"kind":"L","items":[],"metadata":{"resourceVersion":"7"}})")));
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += (i == 0 ? "" : ",") + text;
  return all;
}

TEST(Picker, OnlyWhatIsTooLargeIsNotWhole) {
  const auto megabyte = "\"" + std::string(1U << 20, 'x') + "\"";
  const auto huge = R"({"before":"b","list":[)" + repeated(megabyte, 6) + R"(],"map":{"k":"v"},"late":)" + megabyte +
                    R"(,"meta":{"name":"n","all":["v"]}})";
  const Fields fields{"before", "list", "map", "late", "meta.name", "meta.all"};
  const auto check = [](const std::vector<Json>& values) {
    ASSERT_EQ(values.size(), 3U);
    EXPECT_TRUE(is_whole(values[0]));
    EXPECT_FALSE(is_whole(values[1]));
    EXPECT_EQ(values[1].value("before", ""), "b");
    EXPECT_EQ(values[1].value("list", Json()).size(), 3U);
    // What has come behind it has a name, or is left out.
    EXPECT_EQ(values[1].value("map", Json()), Json::object());
    EXPECT_FALSE(values[1].contains("late"));
    EXPECT_EQ(values[1].value("meta", Json()), Json({{"name", "n"}, {"all", Json::array()}}));
    EXPECT_EQ(values[2], Json({{"before", "b"}}));
  };
  const auto small = R"({"before":"b"})";
  check(
      pick(R"({"items":[)" + std::string(small) + "," + huge + "," + small + "]}", 65536, fields.below("items")).items);
  check(pick(small + huge + small, 65536, fields).documents);
  // Six of a megabyte are fine one by one.
  const auto list = pick(R"({"items":[)" + repeated("{\"late\":" + megabyte + "}", 6) + "]}", 65536);
  ASSERT_EQ(list.items.size(), 6U);
  EXPECT_TRUE(std::ranges::all_of(list.items, is_whole) && is_whole(list.documents.at(0)));
}

TEST(Picker, KeepsTheBeginningOfALongList) {
  const auto picked = pick(R"({"items":[{"l":[)" + repeated(R"([7,{"a":"x"}])", 60'000) + R"(],"n":1}]})", 65536);
  ASSERT_EQ(picked.items.size(), 1U);
  EXPECT_TRUE(is_whole(picked.items[0]));
  EXPECT_EQ(picked.items[0]["l"].size(), Picker::kMaxElements);
  EXPECT_EQ(picked.items[0]["l"].back(), Json::parse(R"([7,{"a":"x"}])"));
  EXPECT_EQ(picked.items[0].value("n", 0), 1);
  // The items are no list that is kept.
  EXPECT_EQ(pick(R"({"items":[)" + repeated("{}", 2000) + "]}", 65536).items.size(), 2000U);
}

// Valid documents that were damaged: whatever comes, it ends with an answer, and with the library's where that one
// reads.
TEST(JsonStream, AgreesWithTheLibraryOnDamagedInput) {
  const std::string seed =
      R"({"type":"ADDED","object":{"metadata":{"name":"n\u00e9","labels":{"a":"b"}},"spec":{"podCIDRs":["10.0.0.0/24"]},"n":[1.5,-3]}})";
  std::mt19937 random(20'261'121);
  const auto below = [&random](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  int readable = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = seed;
    for (std::size_t edit = below(4) + 1; edit > 0; --edit) {
      const auto at = below(text.size());
      if (below(3) == 0) {
        text.erase(at, below(4) + 1);
      } else {
        text[at] = below(2) == 0 ? "{}[]\",:\\u0 eE-+."[below(16)] : static_cast<char>(below(128));
      }
    }
    const auto picked = pick(text, below(text.size()) + 1);
    const auto expected = Json::parse(text, nullptr, false);
    if (expected.is_discarded()) {
      ASSERT_FALSE(picked.good && picked.whole && picked.documents.size() == 1) << text;
      continue;
    }
    ++readable;
    ASSERT_TRUE(picked.good && picked.whole) << text;
    ASSERT_THAT(picked.documents, ElementsAre(expected)) << text;
  }
  EXPECT_GT(readable, 1000);
}

}  // namespace
}  // namespace netkite::kube
