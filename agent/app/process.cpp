// SPDX-License-Identifier: Apache-2.0
#include "agent/app/process.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <tuple>

namespace netkite::app {

Result<UniqueFd> lock_instance(const std::string& run_dir) {
  std::error_code error;
  std::filesystem::create_directories(run_dir, error);
  if (error) return fail_errno(error.value(), "create " + run_dir);
  const auto path = run_dir + "/agent.lock";
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file.valid()) return fail_errno(errno, "open " + path);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return fail(Code::unavailable, "another agent runs with run_dir " + run_dir);
    return fail_errno(errno, "lock " + path);
  }
  return file;
}

void notify_supervisor(std::string_view state) {
  const char* target = std::getenv("NOTIFY_SOCKET");
  if (target == nullptr) return;
  const std::string_view path = target;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return;
  path.copy(address.sun_path, path.size());
  if (path.front() == '@') address.sun_path[0] = '\0';  // an abstract name
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return;
  // Whether a supervisor hears it is its own affair.
  std::ignore = ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                         reinterpret_cast<const sockaddr*>(&address), length);
}

void prepare_process() {
  ::umask(077);
  std::signal(SIGPIPE, SIG_IGN);  // whoever reads our log may go away
  ::mallopt(M_ARENA_MAX, 1);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  std::ignore = ::setrlimit(RLIMIT_NOFILE, &files);
}

void trim_memory() { ::malloc_trim(0); }

}  // namespace netkite::app
