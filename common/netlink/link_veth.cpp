// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/link_veth.hpp"

#include <linux/veth.h>

#include "common/netlink/link_pair.hpp"

namespace netkite::netlink {
namespace {

// The kernel makes one queue for each processor and takes all but one out of use again, for which each end waits for a
// grace period under the RTNL lock. Nobody waits for one queue that was asked for.
constexpr std::uint32_t kQueues = 1;

}  // namespace

Result<void> create_veth(Socket& socket, const VethPair& pair) {
  return create_pair(socket, {
                                 .kind = "veth",
                                 .host = {.name = pair.host_name,
                                          .mtu = pair.mtu,
                                          .gso_max_size = pair.gso_max_size,
                                          .gro_max_size = pair.gro_max_size,
                                          .queues = kQueues,
                                          .mac = pair.host_mac},
                                 .pod = {.name = pair.pod_name,
                                         .mtu = pair.mtu,
                                         .gso_max_size = pair.gso_max_size,
                                         .gro_max_size = pair.gro_max_size,
                                         .queues = kQueues,
                                         .mac = pair.pod_mac,
                                         .netns_fd = pair.pod_netns_fd},
                                 .peer_attribute = VETH_INFO_PEER,
                             });
}

}  // namespace netkite::netlink
