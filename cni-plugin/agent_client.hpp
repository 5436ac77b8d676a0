// SPDX-License-Identifier: Apache-2.0
// One connection to the agent (common/wire/agent_api.hpp). Every wait ends at a deadline.
//
// Errors: whatever keeps us from an answer that we understand is Code::unavailable (agent not running, not answering in
// time, hanging up, talking nonsense), except that a refused permission is Code::denied; the agent's own refusals keep
// their codes. After an unavailable the connection is of no use any more and every later call fails at once.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::cni {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

class AgentClient {
 public:
  [[nodiscard]] static Result<AgentClient> connect(const std::string& socket_path, Deadline deadline);

  // A request and its answer's fields. `fd` (borrowed) goes along unless negative.
  [[nodiscard]] Result<nlohmann::json> call(std::string_view op, nlohmann::json request, Deadline deadline,
                                            int fd = -1);

  // The halves of call(), for work of our own while the agent does its own. Requests are answered in order.
  [[nodiscard]] Result<void> send(std::string_view op, nlohmann::json request, int fd = -1);
  [[nodiscard]] Result<nlohmann::json> receive(std::string_view op, Deadline deadline);

  // receive() and call() with the answer as its type.
  template <typename Reply>
  [[nodiscard]] Result<Reply> receive_as(std::string_view op, Deadline deadline) {
    return understand<Reply>(op, receive(op, deadline));
  }
  template <typename Reply>
  [[nodiscard]] Result<Reply> call_as(std::string_view op, nlohmann::json request, Deadline deadline) {
    return understand<Reply>(op, call(op, std::move(request), deadline));
  }

 private:
  AgentClient(UniqueFd socket, std::string path) : socket_(std::move(socket)), path_(std::move(path)) {}
  [[nodiscard]] Result<void> wait_readable(Deadline deadline) const;
  [[nodiscard]] tl::unexpected<Error> hang_up(std::string_view op, const std::string& problem);

  template <typename Reply>
  [[nodiscard]] Result<Reply> understand(std::string_view op, Result<nlohmann::json> fields) {
    if (!fields) return tl::make_unexpected(std::move(fields.error()));
    auto reply = wire::from_json<Reply>(*fields);
    if (!reply) return hang_up(op, "answered nonsense: " + reply.error().message);
    return reply;
  }

  UniqueFd socket_;
  std::string path_;
};

}  // namespace netkite::cni
