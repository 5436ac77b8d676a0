// SPDX-License-Identifier: Apache-2.0
// Changes an object of the API server.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "agent/kube/connection.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

inline constexpr const char* kJsonPatch = "application/json-patch+json";
inline constexpr const char* kStrategicPatch = "application/strategic-merge-patch+json";

// `connection` is open and outlives it. unavailable: with the server's words.
[[nodiscard]] boost::asio::awaitable<Result<void>> patch(Connection& connection, Request request);

}  // namespace netkite::kube
