// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "common/base/unique_fd.hpp"

namespace netkite::datapath {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMaxOutput = 65536;

// A process group of its own (so that a timeout reaches the compiler's children) and no signal blocked or ignored by
// us.
Result<pid_t> spawn(const std::vector<std::string>& command, int output) {
  std::vector<char*> arguments;
  for (const auto& each : command) arguments.push_back(const_cast<char*>(each.c_str()));
  arguments.push_back(nullptr);
  const char* path = std::getenv("PATH");
  std::string search = "PATH=" + std::string(path == nullptr ? "/usr/bin:/bin" : path);
  std::string locale = "LC_ALL=C";
  std::array<char*, 3> environment = {search.data(), locale.data(), nullptr};

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  const int status =
      posix_spawn(&pid, command.front().c_str(), &actions, &attributes, arguments.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (status != 0) return fail_errno(status, "run " + command.front());
  return pid;
}

// Reads until the writers are gone; false when the time is over before.
bool read_all(int fd, Clock::time_point deadline, std::string& output) {
  std::array<char, 4096> buffer{};
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
    if (left <= 0) return false;
    const int ready = ::poll(&wait, 1, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return false;
    if (ready <= 0) continue;
    const auto count = ::read(fd, buffer.data(), buffer.size());
    if (count == 0 || (count < 0 && errno != EINTR)) return true;
    if (count > 0 && output.size() < kMaxOutput) output.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace

Result<Finished> run_process(const std::vector<std::string>& command, std::chrono::milliseconds limit) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  auto pid = spawn(command, writer.get());
  if (!pid) return tl::make_unexpected(pid.error());
  writer.reset();

  Finished finished;
  const bool in_time = read_all(reader.get(), Clock::now() + limit, finished.output);
  if (!in_time) ::kill(-*pid, SIGKILL);
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0) {
    if (errno != EINTR) return fail_errno(errno, "wait for " + command.front());
  }
  if (!in_time) {
    return fail(Code::unavailable, command.front() + ": not done after " + std::to_string(limit.count()) + " ms");
  }
  finished.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return finished;
}

}  // namespace netkite::datapath
