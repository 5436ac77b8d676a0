// SPDX-License-Identifier: Apache-2.0
// Connected sockets of datagrams whose backend has gone, in all network namespaces. Room-internal.
#pragma once

#include <vector>

#include "agent/datapath/datapath.hpp"
#include "agent/datapath/programs.hpp"
#include "common/base/result.hpp"

namespace netkite::datapath {

// It takes as long as there are sockets that have asked for a service.
[[nodiscard]] Result<std::vector<StaleSocket>> list_stale_sockets(Programs& programs, const MapStore& maps);

}  // namespace netkite::datapath
