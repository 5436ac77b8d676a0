// SPDX-License-Identifier: Apache-2.0
// What the agent tells probes and scrapers:
//   /healthz   200 while the agent's loop turns
//   /readyz    200 "ok", or 503 and the reason: pods can be made
//   /metrics   figures for Prometheus
#pragma once

#include "agent/api/handlers.hpp"
#include "agent/api/metrics.hpp"
#include "agent/api/web_server.hpp"

namespace netkite::api {

// Why the node is not ready for pods; empty: it is.
[[nodiscard]] std::string unready(const NodeStatus& node);

struct PageSources {
  const endpoint::Manager& manager;
  datapath::Datapath& datapath;
  const CallTimes &adds, &dels;
};
[[nodiscard]] WebReply web_page(std::string_view path, const NodeStatus& node, const PageSources& sources);

// Of this process.
[[nodiscard]] std::uint64_t resident_bytes();

}  // namespace netkite::api
