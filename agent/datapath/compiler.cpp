// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/compiler.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <sstream>

#include "agent/datapath/process.hpp"
#include "agent/datapath/sha256.hpp"

namespace netkite::datapath {
namespace {

namespace fs = std::filesystem;
constexpr int kOldest = 15;
constexpr std::chrono::milliseconds kTimeLimit{120000};  // a compile takes a second; a minute on an emulated machine

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  return problem == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

// Candidates in order of preference: plain clang, then clang-<N> from the newest down.
std::vector<std::string> candidates() {
  std::vector<std::string> plain;
  std::multimap<int, std::string, std::greater<>> numbered;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/usr/bin:/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::error_code problem;
    fs::directory_iterator entry(folder, problem);
    for (; !problem && entry != fs::directory_iterator(); entry.increment(problem)) {
      const auto name = entry->path().filename().string();
      if (name == "clang") plain.push_back(entry->path().string());
      if (!name.starts_with("clang-")) continue;
      if (const auto version = number(std::string_view(name).substr(6)); version && *version >= kOldest) {
        numbered.emplace(*version, entry->path().string());
      }
    }
  }
  for (auto& [version, file] : numbered) plain.push_back(std::move(file));
  return plain;
}

// "19.1.7", empty when it does not answer.
std::string ask_version(const std::string& clang) {
  const auto answer = run_process({clang, "-dumpversion"}, kTimeLimit);
  if (!answer || answer->status != 0) return {};
  return answer->output.substr(0, answer->output.find('\n'));
}

// As cmake/BpfObject.cmake has them, without the warnings.
std::vector<std::string> flags_for(const std::string& source_dir) {
  std::vector<std::string> flags = {
      "-target", "bpf", "-mcpu=v3",        "-std=gnu11",
      "-O2",     "-g",  "-I" + source_dir, "-I" + fs::path(source_dir).parent_path().string()};
  // asm/types.h of a multiarch distribution: the BPF target has no such folder of its own.
  std::error_code problem;
  fs::directory_iterator entry("/usr/include", problem);
  for (; !problem && entry != fs::directory_iterator(); entry.increment(problem)) {
    if (fs::exists(entry->path() / "asm/types.h", problem)) {
      flags.insert(flags.end(), {"-isystem", entry->path().string()});
    }
  }
  return flags;
}

// The files of a make rule "object: a.c b.h \ c.h"; a space in a name is written as "\ ".
std::vector<std::string> dependencies(const std::string& rule) {
  std::vector<std::string> files(1);
  for (std::size_t i = rule.find(": ") + 2; i < rule.size(); ++i) {
    const char next = i + 1 < rule.size() ? rule[i + 1] : '\n';
    if (rule[i] == '\\' && next == ' ') {
      files.back() += rule[++i];
    } else if (rule[i] == ' ' || rule[i] == '\n' || (rule[i] == '\\' && next == '\n')) {
      if (!files.back().empty()) files.emplace_back();
    } else {
      files.back() += rule[i];
    }
  }
  if (files.back().empty()) files.pop_back();
  return files;
}

// The key of an object: what it was asked for, and the content of every file that went into it. Empty: one is gone.
std::string content_key(const std::string& direct, const std::string& depfile) {
  const auto rule = read_file(depfile);
  if (!rule) return {};
  Sha256 hash;
  hash.add(direct);
  for (const auto& file : dependencies(*rule)) {
    const auto content = read_file(file);
    if (!content) return {};
    hash.add(file).add(std::string_view("\0", 1)).add(Sha256().add(*content).hex());
  }
  return hash.hex();
}

}  // namespace

Result<Compiler> Compiler::find(const config::Datapath& options) {
  for (const auto& file : candidates()) {
    auto version = ask_version(file);
    const auto major = number(version.substr(0, version.find('.')));
    if (!major || *major < kOldest) continue;
    Compiler compiler;
    compiler.path_ = file;
    compiler.version_ = std::move(version);
    compiler.cache_dir_ = options.cache_dir;
    compiler.flags_ = flags_for(options.source_dir);
    return compiler;
  }
  return fail(Code::not_found, "compile: no clang of version " + std::to_string(kOldest) + " or newer in PATH");
}

std::string Compiler::direct_key(const std::string& source) const {
  Sha256 hash;
  hash.add(path_).add("\n").add(version_).add("\n");
  for (const auto& flag : flags_) hash.add(flag).add("\n");
  return hash.add(source).hex();
}

// Two steps, so that any header counts, those of the system too: the first key names the list of files of the last
// compilation, the content of these files names the object. Everything is written aside and renamed.
Result<std::string> Compiler::compile(const std::string& source) const {
  std::error_code problem;
  if (!fs::exists(source, problem)) return fail(Code::invalid, "compile: no source file " + source);
  fs::create_directories(cache_dir_, problem);
  if (problem) return wrap(fail_errno(problem.value(), "create " + cache_dir_).value(), "datapath.cache_dir");

  const auto direct = direct_key(source);
  const auto depfile = cache_dir_ + "/" + direct + ".d";
  if (const auto key = content_key(direct, depfile); !key.empty()) {
    auto object = cache_dir_ + "/" + key + ".o";
    if (fs::exists(object, problem)) return object;
  }

  const auto temporary = cache_dir_ + "/." + direct + "." + std::to_string(::getpid());
  auto compiled = run(source, temporary + ".o", temporary + ".d");
  const auto key = compiled ? content_key(direct, temporary + ".d") : std::string();
  auto object = cache_dir_ + "/" + key + ".o";
  if (!key.empty()) {
    fs::rename(temporary + ".o", object, problem);
    if (!problem) fs::rename(temporary + ".d", depfile, problem);
  }
  std::error_code ignored;
  fs::remove(temporary + ".o", ignored);
  fs::remove(temporary + ".d", ignored);
  if (!compiled) return tl::make_unexpected(compiled.error());
  if (key.empty()) return fail(Code::unavailable, "compile: " + source + " changed meanwhile");
  if (problem) return wrap(fail_errno(problem.value(), "write to " + cache_dir_).value(), "datapath.cache_dir");
  return object;
}

Result<void> Compiler::run(const std::string& source, const std::string& object, const std::string& depfile) const {
  std::vector<std::string> command = {path_};
  command.insert(command.end(), flags_.begin(), flags_.end());
  command.insert(command.end(), {"-MD", "-MF", depfile, "-MT", "object", "-c", source, "-o", object});
  auto finished = run_process(command, kTimeLimit);
  if (!finished) return wrap(finished.error(), "compile " + source);
  if (finished->status != 0) {
    return fail(Code::invalid, "compile " + source + " with clang " + version_ + ":\n" + finished->output);
  }
  return {};
}

}  // namespace netkite::datapath
