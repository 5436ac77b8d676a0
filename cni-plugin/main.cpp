// SPDX-License-Identifier: Apache-2.0
// netkite-cni: a CNI plugin of type "netkite". Called by container runtimes, never by people.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>

#include "cni-plugin/run.hpp"

namespace {

// A runtime may start us without standard files; a socket of ours in their place would receive our output. Read-only: a
// result that goes nowhere must fail.
void occupy_standard_files() {
  int fd = 0;
  while (fd >= 0 && fd <= STDERR_FILENO) fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd > STDERR_FILENO) ::close(fd);
}

}  // namespace

int main() {
  occupy_standard_files();
  // An agent or a runtime that goes away is an error to report, not our end.
  std::signal(SIGPIPE, SIG_IGN);
  return netkite::cni::run(netkite::cni::read_environment(), STDIN_FILENO, STDOUT_FILENO);
}
