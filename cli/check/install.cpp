// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/check/check.hpp"
#include "cli/fields.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPluginType = "netkite";  // also the name of the plugin's file

bool names_plugin(const fs::path& path) {
  std::ifstream file(path);
  const auto config = nlohmann::json::parse(file, nullptr, false);
  if (!config.is_object()) return false;
  const auto is_ours = [](const nlohmann::json& plugin) {
    return plugin.is_object() && plugin.contains("type") && plugin["type"] == kPluginType;
  };
  if (is_ours(config)) return true;
  const auto plugins = config.find("plugins");
  return plugins != config.end() && plugins->is_array() && std::ranges::any_of(*plugins, is_ours);
}

// In the order in which runtimes read them: the first one makes the default network.
std::vector<fs::path> config_files(const std::string& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const auto extension = entry.path().extension();
    if (extension == ".conflist" || extension == ".conf" || extension == ".json") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

struct Outcome {
  int status = -1;
  std::string first_line;
};

// Runs a program to its end; its output (both streams) is captured.
Result<Outcome> run(const std::vector<std::string>& words) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "open a pipe");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDERR_FILENO);
  std::vector<std::string> copies = words;
  std::vector<char*> arguments;
  arguments.reserve(copies.size() + 1);
  for (auto& word : copies) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail_errno(error, words.front());

  write_end.reset();
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t length = 0; (length = read(read_end.get(), buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(length));
  }
  int status = 0;
  waitpid(child, &status, 0);
  return Outcome{.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1, .first_line = text.substr(0, text.find('\n'))};
}

}  // namespace

Finding check_agent(const Result<nlohmann::json>& status, const Result<nlohmann::json>& readiness) {
  if (!status) return failure("agent", status.error().message, "systemctl start netkite-agent");
  if (!readiness) return failure("agent", readiness.error().message, "systemctl restart netkite-agent");
  const std::string problems = joined(*status, "problems");
  if (text(*readiness, "ready") != "true") {
    return failure("agent",
                   "up, but not ready: " + text(*readiness, "message") + (problems.empty() ? "" : ": ") + problems,
                   "netkite status");
  }
  if (text(*readiness, "addresses_left") != "true") {
    // Without an uplink the agent answers as with a full pool: connectivity is limited.
    const auto message = text(*readiness, "message");
    const bool alone = items(*status, "uplinks").empty();
    return caution("agent", message.empty() ? "no address is left in a pool" : message,
                   alone ? "a default route, or name the devices in uplinks" : "a larger pool, or fewer pods");
  }
  if (!problems.empty()) return caution("agent", "ready, with problems: " + problems, "netkite status");
  return good("agent", "ready");
}

Finding check_cni_config(const std::string& directory) {
  const auto files = config_files(directory);
  const auto ours = std::ranges::find_if(files, names_plugin);
  if (ours == files.end()) {
    return caution("cni-config", "no file in " + directory + " names the plugin " + kPluginType,
                   "install the conflist (docs/operations.md): container runtimes do not use Netkite yet");
  }
  if (ours != files.begin()) {
    return caution("cni-config", files.front().string() + " comes before " + ours->string(),
                   "container runtimes take the first file: remove or rename it");
  }
  return good("cni-config", ours->string());
}

Finding check_cni_plugin(const std::string& directory) {
  const std::string path = directory + "/" + kPluginType;
  if (access(path.c_str(), X_OK) == 0) return good("cni-plugin", path);
  return caution("cni-plugin", path + ": " + std::generic_category().message(errno),
                 "install netkite-cni there under this name");
}

Finding check_config_file(const std::string& path) {
  const auto outcome = run({"netkite-agent", "--check-config", "--config", path});
  if (!outcome) {
    return caution("config", "cannot tell: " + outcome.error().message, "put netkite-agent into PATH");
  }
  if (outcome->status == 0) return good("config", path + " is valid");
  return failure("config", outcome->first_line, "netkite-agent.json(5)");
}

}  // namespace netkite::cli
