// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/cni/plugin.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>

#include "common/base/unique_fd.hpp"
#include "tests/tools/arguments.hpp"

namespace netkite::cni {
namespace {

// A file rather than a pipe: input of any size needs no second thread to feed it.
UniqueFd memory_file(const std::string& content) {
  UniqueFd fd(memfd_create("cni-config", MFD_CLOEXEC));
  if (!fd.valid() || write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
    tools::die("memory file for the plugin's input");
  }
  lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 16384> buffer{};
  for (ssize_t got = 0; (got = read(fd, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
}

std::vector<std::string> variables(const Environment& environment) {
  std::vector<std::string> result{"CNI_COMMAND=" + environment.command, "CNI_CONTAINERID=" + environment.container_id,
                                  "CNI_NETNS=" + environment.netns,     "CNI_IFNAME=" + environment.ifname,
                                  "CNI_ARGS=" + environment.args,       "CNI_PATH=" + environment.path};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, "CNI_", 4) != 0) result.emplace_back(*entry);
  }
  return result;
}

}  // namespace

Outcome run_plugin(const std::string& binary, const std::string& input, const Environment& environment) {
  const UniqueFd in = memory_file(input);
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) tools::die("pipe for the plugin's output");
  const UniqueFd out(ends[0]);
  UniqueFd out_of_child(ends[1]);
  std::vector<std::string> storage = variables(environment);
  std::vector<char*> pointers;
  pointers.reserve(storage.size() + 1);
  for (auto& variable : storage) pointers.push_back(variable.data());
  pointers.push_back(nullptr);
  std::string path = binary;
  std::array<char*, 2> argv{path.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.get(), 0);
  posix_spawn_file_actions_adddup2(&actions, out_of_child.get(), 1);

  Outcome outcome;
  const auto start = std::chrono::steady_clock::now();
  pid_t child = -1;
  const int error = posix_spawn(&child, path.c_str(), &actions, nullptr, argv.data(), pointers.data());
  posix_spawn_file_actions_destroy(&actions);
  out_of_child.reset();
  if (error != 0) {
    outcome.output = std::strerror(error);
    return outcome;
  }
  outcome.output = read_all(out.get());
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  outcome.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  outcome.max_rss_kib = usage.ru_maxrss;
  return outcome;
}

}  // namespace netkite::cni
