// SPDX-License-Identifier: Apache-2.0
// Bounds: who may connect, how many, how much, how long.
#include "agent/api/server.hpp"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "agent/api/tests/server_fixture.hpp"
#include "agent/api/unix_socket.hpp"

namespace netkite::api::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

std::ptrdiff_t open_files() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator{});
}

TEST_F(ServerTest, TheSocketIsRootsAlone) {
  serve();
  struct stat file{};
  ASSERT_EQ(::stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777U, 0600U);
}

TEST_F(ServerTest, OtherUsersAreRefusedEvenWhereTheFileLetsThemIn) {
  serve();
  ASSERT_EQ(::chmod(path.c_str(), 0666), 0);
  ASSERT_EQ(::chmod(options.run_dir.c_str(), 0755), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setuid(65534) != 0) ::_exit(10);
    Client client(path);
    if (!client.connected) ::_exit(11);
    const auto reply = client.receive();
    ::_exit(code_of(reply) == "denied" && client.closed() ? 0 : 12);
  }
  int outcome = 0;
  ASSERT_EQ(::waitpid(child, &outcome, 0), child);
  EXPECT_TRUE(WIFEXITED(outcome));
  EXPECT_EQ(WEXITSTATUS(outcome), 0);
}

TEST_F(ServerTest, ASocketFileThatNobodyAnswersOnIsReplaced) {
  {
    const auto dead = listen_unix(path);
  }  // closed, the file stays
  ASSERT_EQ(::access(path.c_str(), F_OK), 0);
  serve();
  EXPECT_EQ(Client(path).call("drops")["ok"], true);
}

TEST_F(ServerTest, ALiveSocketAndOtherFilesAreLeftAlone) {
  serve();
  const auto second = listen_unix(path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::unavailable);
  EXPECT_THAT(second.error().message, HasSubstr("another agent"));
  EXPECT_EQ(Client(path).call("drops")["ok"], true);

  const auto file = options.run_dir + "/file";
  std::ofstream(file) << "precious";
  const auto refused = listen_unix(file);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::exists);
  EXPECT_EQ(::access(file.c_str(), F_OK), 0);
}

TEST_F(ServerTest, StoppingRemovesTheSocket) {
  serve();
  Client idle(path);
  ASSERT_TRUE(idle.connected);
  TearDown();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
  EXPECT_TRUE(idle.closed());
}

TEST_F(ServerTest, GarbageIsAnsweredAndTheConnectionStays) {
  serve();
  Client client(path);
  for (const auto* garbage : {"x", "[]", "null", "\"op\"", "{", "{\"op\":", "\xff\xfe", "{\"op\": \"\xff\"}", "{}",
                              "{\"op\": 3}", "{\"op\": null}", "\n"}) {
    ASSERT_TRUE(client.send(garbage));
    const auto reply = client.receive();
    EXPECT_EQ(code_of(reply), "invalid") << garbage;
    EXPECT_NE(message_of(reply), "") << garbage;
  }
  ASSERT_TRUE(client.send("{\"op\": \"drops\"}" + std::string(100, ' ')));
  EXPECT_EQ(client.receive()["ok"], true);
  EXPECT_EQ(code_of(client.call("explode")), "unsupported");
}

TEST_F(ServerTest, DeepNestingIsHarmless) {
  serve();
  Client client(path);
  ASSERT_TRUE(client.send(std::string(60000, '[')));
  EXPECT_EQ(code_of(client.receive()), "invalid");
  ASSERT_TRUE(client.send("{\"op\": \"drops\", \"x\": " + std::string(30000, '[') + std::string(30000, ']') + "}"));
  EXPECT_EQ(code_of(client.receive()), "ok");
}

TEST_F(ServerTest, AMessageHasALimit) {
  serve();
  Client client(path);
  const auto padded = [](std::size_t size) {
    std::string message = "{\"op\": \"drops\"}";
    return message + std::string(size - message.size(), ' ');
  };
  ASSERT_TRUE(client.send(padded(wire::kMaxMessage)));
  EXPECT_EQ(client.receive()["ok"], true);
  ASSERT_TRUE(client.send(padded(wire::kMaxMessage + 1)));
  const auto reply = client.receive();
  EXPECT_EQ(code_of(reply), "invalid");
  EXPECT_THAT(message_of(reply), HasSubstr("65536"));
  EXPECT_TRUE(client.closed());
}

TEST_F(ServerTest, DescriptorsComeWithPrepareOnlyAndOneAtATime) {
  serve();
  Client client(path);
  ASSERT_EQ(client.call("drops")["ok"], true);
  const auto before = open_files();
  const int fd = netns.get();
  EXPECT_THAT(message_of(client.call("prepare", attachment_of("a"))), HasSubstr("prepare takes 1 file descriptors"));
  EXPECT_THAT(message_of(client.call("prepare", attachment_of("a"), {fd, fd})), HasSubstr("not 2"));
  EXPECT_THAT(message_of(client.call("drops", {}, {fd})), HasSubstr("drops takes 0"));
  EXPECT_EQ(code_of(client.call("prepare", attachment_of("a"), {fd, fd, fd, fd, fd, fd})), "invalid");
  EXPECT_TRUE(client.closed());
  // Whatever came along was closed again; the agent's end of the connection is gone, too.
  EXPECT_TRUE(eventually([&] { return open_files() == before - 1; }));
}

TEST_F(ServerTest, AnIdleConnectionEnds) {
  serve({.idle = milliseconds(100)});
  Client client(path);
  ASSERT_TRUE(client.connected);
  EXPECT_FALSE(client.closed(20));
  EXPECT_TRUE(client.closed(2000));
}

TEST_F(ServerTest, AHangingPluginIsUndoneAfterItsTime) {
  serve({.idle = milliseconds(50), .begun = milliseconds(300)});
  Client client(path);
  ASSERT_EQ(prepare_on(client, "a")["ok"], true);
  on_agent([this] { return build(pod("a")); });
  EXPECT_FALSE(client.closed(150));  // longer than an idle one may be
  EXPECT_TRUE(client.closed(2000));
  EXPECT_TRUE(eventually([this] { return manager->size() == 0; }));
  on_agent([this] { expect_nothing_left(); });
}

TEST_F(ServerTest, AReaderThatDoesNotReadIsCutOff) {
  serve({.idle = milliseconds(200)});
  Client greedy(path);
  ASSERT_EQ(greedy.call("drops")["ok"], true);
  const auto before = open_files();
  datapath.denied_list.assign(3000, {.prefix = Cidr::parse("203.0.113.0/24").value()});
  int sent = 0;
  while (sent < 100 && greedy.send(R"({"op": "prefilter_list"})")) ++sent;
  EXPECT_EQ(Client(path).call("drops")["ok"], true);  // meanwhile others are served
  EXPECT_TRUE(eventually([=] { return open_files() == before - 1; })) << "the agent's end of the connection is gone";
  int answers = 0;
  while (!greedy.receive(500).is_null()) ++answers;
  EXPECT_LT(answers, 100);
}

TEST_F(ServerTest, ConnectionsAreBounded) {
  serve({.connections = 4});
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<Client>(path));
    ASSERT_EQ(clients.back()->call("drops")["ok"], true);
  }
  Client fifth(path);
  EXPECT_EQ(code_of(fifth.receive()), "unavailable");
  EXPECT_TRUE(fifth.closed());
  clients.pop_back();
  bool served = false;
  for (int i = 0; i < 100 && !served; ++i) served = code_of(Client(path).call("drops")) == "ok";
  EXPECT_TRUE(served);
}

TEST_F(ServerTest, RunningOutOfDescriptorsIsSurvived) {
  serve();
  Client before(path);
  ASSERT_EQ(before.call("drops")["ok"], true);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const UniqueFd probe(::dup(0));
  const rlimit full{.rlim_cur = static_cast<rlim_t>(probe.get()) + 1, .rlim_max = limit.rlim_max};
  std::vector<UniqueFd> hoard;
  Client late(path);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &full), 0);
  for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) hoard.emplace_back(fd);
  EXPECT_EQ(before.call("drops")["ok"], true);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  hoard.clear();
  EXPECT_EQ(late.call("drops")["ok"], true);
}

}  // namespace
}  // namespace netkite::api::testing
