// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/manifests.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <fstream>

#include "agent/kube/node.hpp"
#include "agent/kube/pod.hpp"
#include "agent/kube/yaml.hpp"

namespace netkite::kube {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Yaml, PlainScalarsAreWhatTheyLookLikeAndQuotedOnesAreText) {
  const auto objects =
      parse_yaml("a: 1\nb: -2.5\nc: yes\nd: 'yes'\ne: \"1\"\nf: ~\ng: 10.0.0.1\nh: nan\ni: [x, {y: z}]\n");
  ASSERT_TRUE(objects) << objects.error().message;
  EXPECT_THAT(*objects, ElementsAre(Json::parse(R"({"a": 1, "b": -2.5, "c": true, "d": "yes", "e": "1", "f": null,
    "g": "10.0.0.1", "h": "nan", "i": ["x", {"y": "z"}]})")));
}

TEST(Yaml, DocumentsAndListsAreObjects) {
  const auto objects = parse_yaml("---\n---\nkind: List\nitems: [{a: b}, {c: d}]\n---\ne: f\n");
  ASSERT_TRUE(objects) << objects.error().message;
  EXPECT_THAT(*objects, ElementsAre(Json{{"a", "b"}}, Json{{"c", "d"}}, Json{{"e", "f"}}));
  EXPECT_THAT(*parse_yaml(""), IsEmpty());
}

TEST(Yaml, MistakesHaveALineAndBombsAnEnd) {
  const auto broken = parse_yaml("a: b\nc: [d\n");
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, HasSubstr("line"));
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += "[";
  for (int i = 0; i < 200; ++i) deep += "]";
  EXPECT_FALSE(parse_yaml(deep));
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const auto former = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + former;
    for (int k = 0; k < 9; ++k) bomb += ", " + former;
    bomb += "]\n";
  }
  const auto exploded = parse_yaml(bomb);
  ASSERT_FALSE(exploded);
  EXPECT_THAT(exploded.error().message, HasSubstr("4 million"));
}

class ManifestsTest : public ::testing::Test {
 protected:
  ~ManifestsTest() override { fs::remove_all(folder); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder / ("." + name)) << text;
    fs::rename(folder / ("." + name), folder / name);
  }
  static std::string node(const std::string& name, const std::string& range) {
    return "apiVersion: v1\nkind: Node\nmetadata: {name: " + name + ", labels: {x: y}}\nspec: {podCIDRs: [\"" + range +
           "\"]}\n";
  }
  Subscription subscription(Resource resource, const std::string& mark) {
    return {.resource = std::move(resource),
            .events = {.changed =
                           [this, mark](const std::string& key, const Json& object) {
                             objects[key] = object;
                             say("+" + mark + key);
                           },
                       .removed = [this, mark](const std::string& key) { say("-" + mark + key); },
                       .synced = [this, mark] { say(mark + "synced"); },
                       .state = [this](const std::string& trouble) { say(trouble.empty() ? "ok" : "!" + trouble); }}};
  }
  void say(const std::string& word) {
    words.push_back(word);
    if (step) step(word);
  }
  // Until stop() is called by `step`, which hears every word.
  void follow(std::function<void(const std::string&)> hear) {
    step = std::move(hear);
    boost::asio::co_spawn(context, manifests.run(), [](const std::exception_ptr& error) { EXPECT_FALSE(error); });
    context.run_for(std::chrono::seconds(20));
    EXPECT_TRUE(context.stopped()) << ::testing::PrintToString(words);
  }

  fs::path folder = [] {
    auto path = fs::temp_directory_path() / ("netkite-manifests." + std::to_string(::getpid()));
    fs::create_directories(path);
    return path;
  }();
  boost::asio::io_context context;
  Manifests manifests{context, folder, {subscription(nodes(), ""), subscription(pods_on("a"), "pod ")}};
  std::vector<std::string> words;
  std::map<std::string, Json> objects;
  std::function<void(const std::string&)> step;
};

TEST_F(ManifestsTest, TellsWhatIsThereAndThenEveryChange) {
  write("nodes.yaml", node("a", "10.1.0.0/24") + "---\n" + node("b", "10.2.0.0/24"));
  write("pods.yml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: web}}\n");
  write("notes.txt", "not: [for us");
  std::vector<std::function<void()>> steps = {
      [&] { write("nodes.yaml", node("a", "10.1.0.0/24") + "---\n" + node("b", "10.3.0.0/24")); },
      [&] { write("more.json", R"({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "c"}})"); },
      [&] { fs::remove(folder / "nodes.yaml"); },
      [&] { manifests.stop(); },
  };
  std::size_t done = 0;
  follow([&](const std::string& word) {
    // Each look ends with the second subscription's state.
    static int states = 0;
    if (word == "ok" && ++states % 2 == 0) steps.at(done++)();
  });
  EXPECT_THAT(words, ElementsAre("+a", "+b", "synced", "+pod default/p", "pod synced", "ok", "ok",  //
                                 "+b", "ok", "ok", "+c", "ok", "ok", "-a", "-b", "ok", "ok"));
  // Nothing but the wanted fields.
  EXPECT_EQ(objects["b"],
            Json::parse(R"({"metadata": {"name": "b", "labels": {}}, "spec": {"podCIDRs": ["10.3.0.0/24"]}})"));
  EXPECT_EQ(objects["default/p"]["metadata"]["labels"]["app"], "web");
}

TEST_F(ManifestsTest, AMistakeKeepsWhatTheFileSaidBefore) {
  write("nodes.yaml", node("a", "10.1.0.0/24"));
  bool broken = false;
  follow([&](const std::string& word) {
    if (word == "ok" && !broken) {
      broken = true;
      write("nodes.yaml", "kind: [Node");
    } else if (word.starts_with("!")) {
      manifests.stop();
    }
  });
  EXPECT_THAT(words, Contains(HasSubstr("nodes.yaml")));
  EXPECT_THAT(words, ::testing::Not(Contains("-a")));
}

TEST_F(ManifestsTest, SaysWhatHasNoEffect) {
  write("a.yaml", node("a", "10.1.0.0/24") + "---\n" + node("a", "10.9.0.0/24"));
  write("b.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n---\napiVersion: v1\nkind: Pod\n---\n7\n");
  follow([&](const std::string& word) {
    if (word.starts_with("!")) manifests.stop();
  });
  const auto& trouble = words.back();
  EXPECT_THAT(trouble, HasSubstr("a.yaml: Node a is given twice"));
  EXPECT_THAT(trouble, HasSubstr("b.yaml: v1 Service has no effect here"));
  EXPECT_THAT(trouble, HasSubstr("b.yaml: Pod: metadata.name is missing"));
  EXPECT_EQ(objects["a"]["spec"]["podCIDRs"][0], "10.1.0.0/24");
}

TEST_F(ManifestsTest, TakesAnOlderVersionOfAnObject) {
  auto resource = nodes();
  resource.older = {.version = "v0", .path = ""};
  Manifests with_older(context, folder, {subscription(std::move(resource), "")});
  write("a.yaml", node("a", "10.1.0.0/24"));
  write("b.yaml",
        "apiVersion: v0\nkind: Node\nmetadata: {name: b}\n---\napiVersion: v0\nkind: Node\nmetadata: {name: a}\n");
  boost::asio::co_spawn(context, with_older.run(), [](const std::exception_ptr& error) { EXPECT_FALSE(error); });
  step = [&](const std::string& word) {
    if (word.starts_with("!")) with_older.stop();
  };
  context.run_for(std::chrono::seconds(20));
  EXPECT_THAT(words, ElementsAre("+a", "+b", "synced", HasSubstr("b.yaml: Node a is given twice")));
}

TEST_F(ManifestsTest, WaitsForAFolderThatIsNotThere) {
  fs::remove_all(folder);
  follow([&](const std::string& word) {
    if (word.starts_with("!") && !fs::exists(folder)) {
      fs::create_directories(folder);
      write("a.yaml", node("a", "10.1.0.0/24"));
    }
    if (word == "pod synced") manifests.stop();
  });
  EXPECT_THAT(words.front(), HasSubstr(folder.string()));
  EXPECT_THAT(words, Contains("+a"));
}

}  // namespace
}  // namespace netkite::kube
