// SPDX-License-Identifier: Apache-2.0
#include <chrono>

#include "cni-plugin/verbs.hpp"

namespace netkite::cni {
namespace {
// A runtime that waits longer than a second calls the node not ready.
constexpr std::chrono::milliseconds kStatusLimit(900);
}  // namespace

Outcome<void> verb_status(const Call& call) {
  const Deadline deadline = call.started + kStatusLimit;
  auto client = AgentClient::connect(call.conf.agent_socket, deadline);
  if (!client) return refuse(ErrorCode::not_available, client.error().message);
  auto status = client->call_as<wire::CniStatusReply>("cni_status", nlohmann::json::object(), deadline);
  if (!status) return refuse(ErrorCode::not_available, status.error().message);
  if (!status->ready) {
    return refuse(ErrorCode::not_available,
                  status->message.empty() ? "the agent's host programs are not in place" : status->message);
  }
  if (!status->addresses_left) {
    return refuse(ErrorCode::limited, status->message.empty() ? "the agent's pools are exhausted" : status->message);
  }
  return {};
}

}  // namespace netkite::cni
