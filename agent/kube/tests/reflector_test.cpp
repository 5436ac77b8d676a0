// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/reflector.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <filesystem>
#include <fstream>

#include "agent/kube/tests/server.hpp"

namespace netkite::kube {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Then = Script::Then;

std::string object(const std::string& name, const std::string& version) {
  return R"({"metadata":{"name":")" + name + R"(","resourceVersion":")" + version + R"("},"x":1,"y":{"z":[2]}})";
}
std::string event(const std::string& type, const std::string& what) {
  return R"({"type":")" + type + R"(","object":)" + what + "}\n";
}
std::string list(const std::string& items, const std::string& metadata) {
  return R"({"kind":"ThingList","items":[)" + items + R"(],"metadata":{)" + metadata + "}}";
}
const std::string kRefused = R"({"kind":"Status","code":422,"message":"sendInitialEvents is forbidden"})";

class ReflectorTest : public ::testing::Test {
 protected:
  // What came, as words: "+a", "-a", "synced", "ok", "!why".
  std::vector<std::string> run(const Server::Answer& answer, const std::function<bool(const std::string&)>& last) {
    boost::asio::io_context context;
    Server server(context, [&answer](const std::string& target) { return answer(target); });
    const auto file = std::filesystem::temp_directory_path() / ("netkite-kubeconfig." + std::to_string(::getpid()));
    std::ofstream(file) << "current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
                        << "clusters: [{name: c, cluster: {server: \"" << server.url() << "\"}}]\n"
                        << "users: [{name: u, user: {token: secret}}]\n";
    std::vector<std::string> words;
    std::unique_ptr<Reflector> reflector;
    const auto say = [&](const std::string& word) {
      words.push_back(word);
      if (words.size() < 200 && !last(word)) return;
      reflector->stop();
      server.stop();
    };
    using std::chrono::milliseconds;
    reflector = std::make_unique<Reflector>(
        context, Source{.kubeconfig = file, .server = ""},
        Resource{.version = "v1",
                 .kind = "Thing",
                 .path = "/api/v1/things",
                 .namespaced = false,
                 .selector = selector,
                 .fields = {"y.z"},
                 .older = older},
        Events{.changed =
                   [&](const std::string& key, const Json& each) {
                     objects[key] = each;
                     say("+" + key);
                   },
               .removed = [&](const std::string& key) { say("-" + key); },
               .synced = [&] { say("synced"); },
               .state = [&](const std::string& trouble) { say(trouble.empty() ? "ok" : "!" + trouble); }},
        Pace{.first_pause = milliseconds(1),
             .longest_pause = milliseconds(20),
             .initial_events = milliseconds(300),
             .silence = milliseconds(300),
             .deadlines = {.connect = milliseconds(500), .exchange = milliseconds(300)}});
    boost::asio::co_spawn(context, reflector->run(), [](const std::exception_ptr& error) { EXPECT_FALSE(error); });
    context.run_for(limit);
    if (!context.stopped()) {
      reflector->stop();
      server.stop();
      context.run_for(std::chrono::seconds(20));
    }
    targets = server.targets;
    head = server.last_head;
    std::filesystem::remove(file);
    return words;
  }

  std::chrono::milliseconds limit = std::chrono::seconds(20);
  std::string selector;
  std::optional<Resource::Older> older;
  std::map<std::string, Json> objects;
  std::vector<std::string> targets;
  std::string head;
};

bool has(const std::string& target, const char* part) { return target.find(part) != std::string::npos; }

TEST_F(ReflectorTest, ListsPagesAndThenWatches) {
  const auto words = run(
      [](const std::string& target) {
        if (has(target, "sendInitialEvents")) return whole(422, kRefused);
        if (has(target, "watch=true")) {
          return streamed(event("MODIFIED", object("a", "8")) + event("DELETED", object("b", "9")) +
                              event("DELETED", object("unknown", "9")) + event("ADDED", object("d", "10")),
                          Then::hang);
        }
        if (has(target, "continue=t%2Fk")) return whole(200, list(object("c", "3"), R"("resourceVersion":"7")"));
        return whole(200, list(object("a", "1") + "," + object("b", "2"), R"("resourceVersion":"7","continue":"t/k")"));
      },
      [](const std::string& word) { return word == "+d"; });
  EXPECT_THAT(words, ElementsAre("+a", "+b", "+c", "ok", "synced", "ok", "+a", "-b", "+d"));
  // Nothing but what was asked for is kept.
  EXPECT_EQ(objects["d"], Json::parse(R"({"metadata":{"name":"d","resourceVersion":"10"},"y":{"z":[2]}})"));
  ASSERT_EQ(targets.size(), 4U);
  EXPECT_THAT(targets[1], HasSubstr("limit=500&resourceVersion=0"));
  EXPECT_THAT(targets[2], Not(HasSubstr("resourceVersion")));
  EXPECT_THAT(targets[3], HasSubstr("&resourceVersion=7"));
  EXPECT_THAT(head, HasSubstr("Authorization: Bearer secret\r\n"));
}

TEST_F(ReflectorTest, TakesTheInitialEventsWhereTheServerSendsThem) {
  int asked = 0;
  const auto words = run(
      [&asked](const std::string& target) {
        if (++asked > 1) return streamed(event("ADDED", object("c", "5")), Then::hang);
        EXPECT_THAT(target, HasSubstr("sendInitialEvents=true&resourceVersionMatch=NotOlderThan"));
        return streamed(
            event("ADDED", object("a", "9")) + event("ADDED", object("b", "2")) +
                event("BOOKMARK",
                      R"({"metadata":{"resourceVersion":"4","annotations":{"k8s.io/initial-events-end":"true"}}})") +
                event("DELETED", object("a", "5")),
            Then::close);
      },
      [](const std::string& word) { return word == "+c"; });
  EXPECT_THAT(words, ElementsAre("+a", "+b", "ok", "synced", "-a", "ok", "+c"));
  EXPECT_THAT(targets[1], HasSubstr("&resourceVersion=5"));
}

TEST_F(ReflectorTest, ASelectorComesWithEveryRequestAndNeverReachesTheStore) {
  selector = "fieldSelector=spec.nodeName%3Da";
  int watches = 0;
  run(
      [&watches](const std::string& target) {
        if (has(target, "sendInitialEvents")) return whole(422, kRefused);
        // The version is too old: elsewhere the store itself would be asked then.
        if (has(target, "watch=true") && ++watches == 1) {
          return streamed(R"({"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}})", Then::close);
        }
        if (has(target, "watch=true")) return streamed(event("ADDED", object("d", "10")), Then::hang);
        return whole(200, list(object("a", "1"), R"("resourceVersion":"7")"));
      },
      [](const std::string& word) { return word == "+d"; });
  for (const auto& target : targets) {
    EXPECT_THAT(target, HasSubstr("&" + selector));
    EXPECT_TRUE(has(target, "watch=true") || has(target, "resourceVersion=0")) << target;
  }
  EXPECT_GE(watches, 2);
}

TEST_F(ReflectorTest, AsksAnOldServerForTheOlderVersionUntilItIsUpgraded) {
  older = {.version = "v0", .path = "/api/v0/things"};
  int watches = 0;
  const auto words = run(
      [&watches](const std::string& target) {
        const bool old = has(target, "/api/v0/");
        if (!old && watches < 2) return whole(404, "404 page not found");
        if (has(target, "sendInitialEvents")) return whole(422, kRefused);
        if (!has(target, "watch=true")) return whole(200, list(object("a", "1"), R"("resourceVersion":"7")"));
        ++watches;
        const auto told =
            old ? event("MODIFIED", object("a", std::to_string(7 + watches))) : event("DELETED", object("a", "10"));
        return streamed(told, Then::close);
      },
      [](const std::string& word) { return word == "-a"; });
  EXPECT_THAT(words, ElementsAre("+a", "ok", "synced", "ok", "+a", "ok", "+a", "ok", "-a"));
  // The newer version goes on where the older one has ended.
  EXPECT_THAT(targets.back(), AllOf(HasSubstr("/api/v1/things?watch=true"), HasSubstr("resourceVersion=9")));
}

TEST_F(ReflectorTest, WhatNoVersionHasIsAProblem) {
  older = {.version = "v0", .path = "/api/v0/things"};
  const auto words = run([](const std::string&) { return whole(404, "404 page not found"); },
                         [](const std::string& word) { return word.front() == '!'; });
  EXPECT_THAT(words, ElementsAre(HasSubstr("/api/v0/things: the API server says 404: 404 page not found")));
}

TEST_F(ReflectorTest, InitialEventsWithoutAnEndAreNotWaitedForForever) {
  const auto words = run(
      [](const std::string& target) {
        if (has(target, "watch=true")) return streamed(event("ADDED", object("a", "1")), Then::hang);
        return whole(200, list(object("b", "1"), R"("resourceVersion":"7")"));
      },
      [](const std::string& word) { return word == "synced"; });
  EXPECT_THAT(words, Contains("-a"));
  EXPECT_EQ(words.back(), "synced");
}

TEST_F(ReflectorTest, AStreamThatBreaksIsAskedForAgain) {
  int streams = 0, watches = 0;
  run(
      [&](const std::string& target) {
        if (has(target, "sendInitialEvents")) {
          return ++streams == 1 ? streamed(event("ADDED", object("a", "9")), Then::close)
                                : streamed(event("ADDED", object("b", "9")), Then::hang);
        }
        if (!has(target, "watch=true")) return whole(200, list(object("a", "1"), R"("resourceVersion":"7")"));
        ++watches;
        return whole(410, R"({"kind":"Status","code":410,"message":"too old"})");
      },
      [](const std::string& word) { return word == "+b"; });
  EXPECT_EQ(streams, 2);
  EXPECT_EQ(watches, 1);
}

TEST_F(ReflectorTest, StartsAgainWhenItsVersionIsTooOld) {
  for (const bool in_stream : {true, false}) {
    int lists = 0, watches = 0;
    const auto words = run(
        [&](const std::string& target) {
          if (has(target, "sendInitialEvents")) return whole(422, kRefused);
          if (has(target, "watch=true")) {
            if (++watches == 1) return streamed(event("MODIFIED", object("a", "8")), Then::close);
            const std::string gone = R"({"kind":"Status","code":410,"message":"too old resource version"})";
            return in_stream ? streamed(event("ERROR", gone), Then::close) : whole(410, gone);
          }
          return whole(200, list(++lists == 1 ? object("a", "1") : object("b", "2"), R"("resourceVersion":"7")"));
        },
        [](const std::string& word) { return word == "-a"; });
    EXPECT_THAT(words, Contains("+b"));
    EXPECT_THAT(words, Not(Contains(HasSubstr("!"))));
    // The second time from the store, not from a cache that may be older.
    EXPECT_THAT(targets.back(), Not(HasSubstr("resourceVersion")));
  }
}

TEST_F(ReflectorTest, AWatchThatSaysNothingIsAGoodOne) {
  int asked = 0;
  bool troubled = false;
  const auto words = run(
      [&asked](const std::string& target) {
        if (has(target, "sendInitialEvents")) return whole(422, kRefused);
        if (!has(target, "watch=true")) return whole(200, list("", R"("resourceVersion":"7")"));
        return ++asked == 1 ? whole(503, "busy") : streamed("", Then::hang);
      },
      [&troubled](const std::string& word) {
        troubled = troubled || word.front() == '!';
        return troubled && word == "ok";
      });
  EXPECT_THAT(words, ElementsAre("ok", "synced", HasSubstr("503: busy"), "ok"));
}

TEST_F(ReflectorTest, VersionsThatAreAlwaysTooOldAreAProblem) {
  const auto words = run(
      [](const std::string& target) {
        if (has(target, "sendInitialEvents")) return whole(422, kRefused);
        if (has(target, "watch=true")) return whole(410, R"({"code":410})");
        return whole(200, list(object("a", "1"), R"("resourceVersion":"7")"));
      },
      [](const std::string& word) { return word.front() == '!'; });
  EXPECT_THAT(words.back(), HasSubstr("has just named"));
}

TEST_F(ReflectorTest, AServerThatSendsBookmarksNoMoreIsAskedAgain) {
  int watches = 0;
  const auto words = run(
      [&watches](const std::string& target) {
        if (has(target, "sendInitialEvents")) return whole(422, kRefused);
        if (!has(target, "watch=true")) return whole(200, list(object("a", "1"), R"("resourceVersion":"7")"));
        const auto told = ++watches == 1 ? event("BOOKMARK", R"({"metadata":{"resourceVersion":"9"}})")
                                         : event("ADDED", object("b", "10"));
        return streamed(told, Then::hang);
      },
      [](const std::string& word) { return word == "+b"; });
  EXPECT_THAT(words, ElementsAre("+a", "ok", "synced", "ok", HasSubstr("no answer in time"), "ok", "+b"));
  EXPECT_THAT(targets.back(), HasSubstr("&resourceVersion=9"));
}

TEST_F(ReflectorTest, AServerThatHasNotSentBookmarksMayBeSilent) {
  limit = std::chrono::milliseconds(1000);  // the silence after a bookmark, three times
  const std::string end = R"({"metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}})";
  const auto never = [](const std::string&) { return false; };
  EXPECT_THAT(run([&end](const std::string&) { return streamed(event("BOOKMARK", end), Then::hang); }, never),
              ElementsAre("ok", "synced"));
  EXPECT_THAT(run(
                  [](const std::string& target) {
                    if (has(target, "sendInitialEvents")) return whole(422, kRefused);
                    if (has(target, "watch=true")) return streamed(event("ADDED", object("a", "8")), Then::hang);
                    return whole(200, list("", R"("resourceVersion":"7")"));
                  },
                  never),
              ElementsAre("ok", "synced", "ok", "+a"));
}

TEST_F(ReflectorTest, AnObjectThatIsTooLargeHoldsUpNobodyElse) {
  const auto large = [](const std::string& name, const std::string& version) {
    auto json = Json::parse(object(name, version));
    json["y"]["z"] = Json::array_t(6, std::string(1U << 20, 'x'));
    return json.dump();
  };
  for (const bool streams : {true, false}) {
    objects.clear();
    int watches = 0;
    const auto words = run(
        [&](const std::string& target) {
          const std::string end =
              R"({"metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}})";
          if (has(target, "sendInitialEvents")) {
            return streams ? streamed(event("ADDED", object("a", "1")) + event("ADDED", large("b", "2")) +
                                          event("ADDED", object("c", "3")) + event("BOOKMARK", end),
                                      Then::close)
                           : whole(422, kRefused);
          }
          if (!has(target, "watch=true")) {
            return whole(200, list(object("a", "1") + "," + large("b", "2") + "," + object("c", "3"),
                                   R"("resourceVersion":"7")"));
          }
          if (++watches == 1) return streamed(event("MODIFIED", large("c", "8")), Then::close);
          return streamed(event("DELETED", large("b", "9")) + event("ADDED", object("d", "10")), Then::hang);
        },
        [](const std::string& word) { return word == "+d"; });
    EXPECT_THAT(words, ElementsAre("+a", "+b", "+c", "ok", "synced", "ok", "+c", "ok", "-b", "+d"));
    EXPECT_THAT(targets.back(), HasSubstr("&resourceVersion=8"));
    for (const auto& [name, each] : objects) EXPECT_EQ(is_whole(each), name == "a" || name == "d") << name;
  }
}

TEST_F(ReflectorTest, SaysWhatIsWrongAndTriesAgain) {
  const std::string forbidden =
      R"({"kind":"Status","message":"things is forbidden: User \"u\" cannot list","code":403})";
  const struct {
    Script script;
    const char* part;
  } cases[] = {
      {whole(403, forbidden), "the API server says 403: things is forbidden: User \"u\" cannot list"},
      {whole(401, "Unauthorized"), "401: Unauthorized"},
      {whole(503, ""), "503"},
      {whole(200, "<html>"), "no JSON"},
      {whole(200, R"({"kind":"Thing"})"), "no list"},
      {whole(200, list("", "")), "no resourceVersion"},
      {whole(200, R"({"kind":"ThingList","items":[)"), "broke off"},
      {{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", .then = Then::close}, "partial message"},
      {{.bytes = "SSH-2.0-x\r\n", .then = Then::close}, "bad version"},
      {{.bytes = "", .then = Then::close}, "end of stream"},
      {{.bytes = "", .then = Then::hang}, "no answer in time"},
      {{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", .then = Then::hang}, "no answer in time"},
      {{.bytes = "HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x'), .then = Then::hang}, "header limit"},
  };
  for (const auto& each : cases) {
    int lists = 0;
    const auto words = run(
        [&](const std::string& target) {
          if (has(target, "watch=true")) return whole(422, kRefused);
          return ++lists == 1 ? each.script : whole(200, list(object("a", "1"), R"("resourceVersion":"7")"));
        },
        [](const std::string& word) { return word == "synced"; });
    EXPECT_THAT(words.front(), HasSubstr(each.part));
    EXPECT_THAT(words.front(), ::testing::StartsWith("!"));
    EXPECT_EQ(words.back(), "synced");
  }
}

TEST_F(ReflectorTest, BadEventsEndTheWatchAndNothingElse) {
  for (const std::string bad : {"{\"type\":7}\n", "[]\n", "nonsense\n", "{\"type\":\"NEW\",\"object\":{}}\n",
                                "{\"type\":\"ERROR\",\"object\":{\"code\":500,\"message\":\"m\"}}\n"}) {
    int watches = 0;
    const auto words = run(
        [&](const std::string& target) {
          if (has(target, "sendInitialEvents")) return whole(422, kRefused);
          if (has(target, "watch=true"))
            return streamed(++watches == 1 ? bad : event("ADDED", object("b", "8")), Then::hang);
          return whole(200, list(object("a", "1"), R"("resourceVersion":"7")"));
        },
        [](const std::string& word) { return word == "+b"; });
    EXPECT_EQ(words.back(), "+b") << bad;
    EXPECT_THAT(words, Contains(HasSubstr("!"))) << bad;
    EXPECT_THAT(words, Not(Contains("-a"))) << bad;
  }
}

}  // namespace
}  // namespace netkite::kube
