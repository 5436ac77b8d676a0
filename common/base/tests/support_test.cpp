// SPDX-License-Identifier: Apache-2.0
// Errors, files, descriptors, undo steps, hashes.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "common/base/file.hpp"
#include "common/base/hash.hpp"
#include "common/base/result.hpp"
#include "common/base/rollback.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite {
namespace {

TEST(Result, ErrnoChoosesTheCode) {
  const struct {
    int os_error;
    Code code;
  } cases[] = {
      {EINVAL, Code::invalid},  {ENOENT, Code::not_found},   {ENODEV, Code::not_found},
      {ESRCH, Code::not_found}, {EEXIST, Code::exists},      {ENOSPC, Code::exhausted},
      {E2BIG, Code::exhausted}, {EAGAIN, Code::unavailable}, {EBUSY, Code::unavailable},
      {EPERM, Code::denied},    {EACCES, Code::denied},      {EOPNOTSUPP, Code::unsupported},
      {EIO, Code::io},
  };
  for (const auto& each : cases) {
    const Result<int> result = fail_errno(each.os_error, "open x");
    EXPECT_EQ(result.error().code, each.code) << each.os_error;
    EXPECT_EQ(result.error().os_error, each.os_error);
  }
}

TEST(Result, GathersContextOnTheWayUp) {
  const Result<int> inner = fail_errno(ENOENT, "open /x");
  const Result<int> outer = wrap(inner.error(), "create pair nk1");
  EXPECT_EQ(outer.error().message, "create pair nk1: open /x: No such file or directory");
  EXPECT_EQ(outer.error().code, Code::not_found);
  EXPECT_EQ(outer.error().os_error, ENOENT);
}

TEST(Rollback, UndoesInReverseOrderUnlessCommitted) {
  std::string undone;
  {
    Rollback rollback;
    rollback.add([&] { undone += "a"; });
    rollback.add([&] { undone += "b"; });
  }
  EXPECT_EQ(undone, "ba");
  {
    Rollback rollback;
    rollback.add([&] { undone += "c"; });
    rollback.commit();
  }
  EXPECT_EQ(undone, "ba");
  {
    Rollback rollback;
    rollback.add([&] { undone += "d"; });
    rollback.run();
    EXPECT_EQ(undone, "bad");
  }
  EXPECT_EQ(undone, "bad") << "once only";
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFd, ClosesOnce) {
  int number = -1;
  {
    UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    number = fd.get();
    ASSERT_TRUE(fd.valid());
    UniqueFd& same = fd;
    fd = std::move(same);
    EXPECT_TRUE(is_open(number)) << "a move onto itself keeps it";
    UniqueFd moved = std::move(fd);
    EXPECT_FALSE(fd.valid());  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move)
    EXPECT_EQ(moved.get(), number);
  }
  EXPECT_FALSE(is_open(number));
}

TEST(ReadFile, GivesAllOfItOrSaysWhatIsWrong) {
  const std::string path = testing::TempDir() + "netkite-read-file-" + std::to_string(::getpid());
  const std::string text(10'000, 'x');
  std::ofstream(path) << text;
  EXPECT_EQ(read_file(path, text.size()).value(), text);
  EXPECT_EQ(read_file(path, text.size() - 1).error().message, path + ": larger than 9999 bytes");
  ::unlink(path.c_str());
  EXPECT_EQ(read_file(path, 1).error().code, Code::not_found);
  EXPECT_EQ(read_file("/", 1).error().os_error, EISDIR);
}

TEST(Hash, IsTheSameInEveryBuild) {
  // Names of devices in the kernel depend on it: a changed value would orphan the pods of a running node.
  EXPECT_EQ(hash48(""), 0x9ce484222325U ^ 0xcbf2U);
  EXPECT_EQ(hash48("netkite"), hash48("netkite"));
  EXPECT_LT(hash48("some longer text"), 1ULL << 48U);
}

}  // namespace
}  // namespace netkite
