// SPDX-License-Identifier: Apache-2.0
#include <chrono>

#include "cni-plugin/verbs.hpp"

namespace netkite::cni {
namespace {
constexpr std::chrono::seconds kGcLimit(60);
}

// Devices, addresses and programs are the agent's to compare with the list: it knows what it made, and goes on past
// what cannot be removed.
Outcome<void> verb_gc(const Call& call) {
  const Deadline deadline = call.started + kGcLimit;
  auto client = AgentClient::connect(call.conf.agent_socket, deadline);
  if (!client) return tl::make_unexpected(from_agent(client.error()));
  const wire::GcRequest request = {.network = call.conf.name, .valid = call.conf.valid_attachments};
  auto done = client->call("gc", wire::to_json(request), deadline);
  if (!done) return tl::make_unexpected(from_agent(done.error()));
  return {};
}

}  // namespace netkite::cni
