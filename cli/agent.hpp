// SPDX-License-Identifier: Apache-2.0
// A connection to the agent's socket.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::cli {

class Agent {
 public:
  // unavailable, with the path, when nobody listens there.
  [[nodiscard]] static Result<Agent> connect(const std::string& path);

  // One request and its reply's fields. An agent that does not answer within 10 s is unavailable.
  [[nodiscard]] Result<nlohmann::json> call(std::string_view op, nlohmann::json fields = nlohmann::json::object());

  // The next message that the agent sends on its own (op "monitor"); call it when fd() is readable.
  // Code::unavailable when the agent has closed the connection.
  [[nodiscard]] Result<nlohmann::json> next();
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  explicit Agent(UniqueFd socket) : socket_(std::move(socket)) {}
  [[nodiscard]] Result<std::string> receive();

  UniqueFd socket_;
};

}  // namespace netkite::cli
