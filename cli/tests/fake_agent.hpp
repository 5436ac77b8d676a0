// SPDX-License-Identifier: Apache-2.0
// An agent's socket with answers that a test chooses, on a thread of its own.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "common/base/unique_fd.hpp"

namespace netkite::cli {

class FakeAgent {
 public:
  using Json = nlohmann::json;
  // The messages to send for a request. After an empty list the connection is closed.
  using Answer = std::function<std::vector<Json>(const Json& request)>;

  explicit FakeAgent(Answer answer);
  ~FakeAgent();
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::vector<Json> requests();                     // so far
  [[nodiscard]] std::size_t longest() const { return longest_; }  // bytes of the longest request

 private:
  void serve();
  void serve_one(const UniqueFd& connection);

  Answer answer_;
  std::string folder_, path_;
  UniqueFd listener_;
  std::mutex mutex_;
  std::vector<Json> requests_;
  std::atomic<std::size_t> longest_ = 0;
  std::thread thread_;
};

// The program run with these arguments against a socket.
struct Ran {
  int status = -1;
  std::string out, err;
};
[[nodiscard]] Ran run_cli(const std::vector<std::string>& arguments, const std::string& socket = "");

}  // namespace netkite::cli
