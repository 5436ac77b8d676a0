// SPDX-License-Identifier: Apache-2.0
// What `netkite-agent --withdraw` does, in the pods of uninstall.yaml: when every node has cleaned up, the cluster's
// objects go as well, this pod's own among them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "agent/config/options.hpp"
#include "agent/kube/connection.hpp"
#include "common/base/result.hpp"

namespace netkite::app {

// The objects of deploy/chart in `pod_namespace`. False: not every node is done. `connection` is open.
// What goes last takes the right to remove the rest with it. So the rest is made its dependents, and the cluster's
// garbage collector removes them after it.
[[nodiscard]] boost::asio::awaitable<Result<bool>> withdraw_once(kube::Connection& connection,
                                                                 std::string pod_namespace);

// Tries until it is done, and waits for a signal to end.
void withdraw(const config::Options& options);

}  // namespace netkite::app
