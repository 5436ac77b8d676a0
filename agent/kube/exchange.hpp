// SPDX-License-Identifier: Apache-2.0
// One question about one object of the API server.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "agent/kube/connection.hpp"
#include "agent/kube/picker.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

inline constexpr const char* kJsonPatch = "application/json-patch+json";
inline constexpr const char* kMergePatch = "application/merge-patch+json";
inline constexpr const char* kStrategicPatch = "application/strategic-merge-patch+json";

// What is wanted of the object that the server answers with. `connection` is open and outlives it. not_found: there is
// no such object; unavailable: with the server's words.
[[nodiscard]] boost::asio::awaitable<Result<Json>> exchange(Connection& connection, Request request,
                                                            Fields wanted = {});

}  // namespace netkite::kube
