// SPDX-License-Identifier: Apache-2.0
// An agent that answers as a test wants, over the real protocol, and remembers what it was asked.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::cni::testing {

// A folder of its own below /tmp, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class FakeAgent {
 public:
  explicit FakeAgent(const std::string& socket_path);  // listens at once
  ~FakeAgent();
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;

  // How it treats an operation from now on.
  void answer(const std::string& op, const nlohmann::json& fields);  // {"ok": true, fields…}
  void refuse(const std::string& op, Code code, const std::string& message);
  void say(const std::string& op, const std::string& text);  // these bytes
  void hang(const std::string& op);                          // says nothing
  void close_on(const std::string& op);
  // Runs when such a request has arrived, before it is answered, on the agent's thread.
  void watch(const std::string& op, std::function<void()> action);

  [[nodiscard]] std::vector<std::string> operations() const;
  // The last request of that name; null when there was none.
  [[nodiscard]] nlohmann::json last(const std::string& op) const;
  // The inode of the namespace whose descriptor came with the last request of that name; 0 without one.
  [[nodiscard]] std::uint64_t netns_of(const std::string& op) const;

 private:
  enum class Manner { say, hang, close };
  struct Treatment {
    Manner manner = Manner::say;
    std::string text;
  };
  struct Seen {
    std::string op;
    nlohmann::json request;
    std::uint64_t netns_inode = 0;
  };

  void set(const std::string& op, Treatment treatment);
  void accept_all();
  void serve(UniqueFd connection);
  [[nodiscard]] bool serve_one(int connection);

  UniqueFd listener_, stop_;
  mutable std::mutex mutex_;
  std::map<std::string, Treatment> treatments_;
  std::map<std::string, std::function<void()>> watchers_;
  std::vector<Seen> seen_;
  std::vector<std::thread> servers_;
  std::thread acceptor_;
};

}  // namespace netkite::cni::testing
