// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/deferred_del.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "cni-plugin/tests/fake_agent.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::cni {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

wire::Attachment attachment(const std::string& id) { return {.network = "pods", .container_id = id, .ifname = "eth0"}; }

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

class Notes : public ::testing::Test {
 protected:
  testing::TemporaryFolder folder_;
  const std::string socket_ = folder_.path() + "/run/agent.sock";  // "run" does not exist yet
  const std::string notes_ = notes_folder(socket_);
};

TEST_F(Notes, HoldTheAttachment) {
  ASSERT_TRUE(write_note(socket_, attachment("a")));
  const auto names = names_in(notes_);
  ASSERT_EQ(names.size(), 1U);
  EXPECT_EQ(names[0], wire::host_ifname(attachment("a")) + ".json");
  std::ifstream file(notes_ + "/" + names[0]);
  const auto read = wire::from_json<wire::Attachment>(nlohmann::json::parse(file));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, attachment("a"));
}

TEST_F(Notes, AreForRootOnly) {
  ASSERT_TRUE(write_note(socket_, attachment("a")));
  for (const auto& path : {folder_.path() + "/run", notes_}) {
    struct stat status{};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0700U) << path;
  }
}

TEST_F(Notes, WritingAgainIsFine) {
  ASSERT_TRUE(write_note(socket_, attachment("a")));
  ASSERT_TRUE(write_note(socket_, attachment("a")));
  EXPECT_EQ(names_in(notes_).size(), 1U);
}

TEST_F(Notes, RemovalTakesOnlyItsOwn) {
  remove_note(socket_, attachment("a"));  // nothing there yet
  ASSERT_TRUE(write_note(socket_, attachment("a")));
  ASSERT_TRUE(write_note(socket_, attachment("b")));
  remove_note(socket_, attachment("a"));
  EXPECT_THAT(names_in(notes_), ::testing::ElementsAre(wire::host_ifname(attachment("b")) + ".json"));
}

TEST_F(Notes, AreBounded) {
  ASSERT_TRUE(write_note(socket_, attachment("a")));
  for (std::size_t i = 1; i < kMaxNotes; ++i) std::ofstream(notes_ + "/" + std::to_string(i) + ".json") << "{}";
  const auto refused = write_note(socket_, attachment("b"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::exhausted);
  EXPECT_THAT(refused.error().message, HasSubstr("start netkite-agent"));
  EXPECT_EQ(names_in(notes_).size(), kMaxNotes);
  EXPECT_TRUE(write_note(socket_, attachment("a")));  // there already
}

TEST_F(Notes, WaitForTheLockAndGiveUp) {
  ASSERT_TRUE(write_note(socket_, attachment("a")));
  UniqueFd holder(::open(notes_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::flock(holder.get(), LOCK_EX), 0);
  const auto refused = write_note(socket_, attachment("b"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unavailable);
  EXPECT_EQ(names_in(notes_).size(), 1U);

  std::thread release([&holder] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    holder.reset();
  });
  EXPECT_TRUE(write_note(socket_, attachment("b")));
  release.join();
}

TEST_F(Notes, AnUnwritableFolderIsAnError) {
  std::ofstream(folder_.path() + "/run") << "a file in its place";
  EXPECT_FALSE(write_note(socket_, attachment("a")));
}

}  // namespace
}  // namespace netkite::cni
