// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/link_netkit.hpp"

#include <linux/if_link.h>

#include <cerrno>

#include "common/netlink/link_pair.hpp"

namespace netkite::netlink {
namespace {

Result<void> create(Socket& socket, const NetkitPair& pair, bool with_newer_attributes) {
  const auto attributes = [&](Message& message) {
    message.put_u32(IFLA_NETKIT_MODE, pair.l3 ? NETKIT_L3 : NETKIT_L2);
    message.put_u32(IFLA_NETKIT_POLICY, NETKIT_DROP);
    message.put_u32(IFLA_NETKIT_PEER_POLICY, NETKIT_DROP);
    if (!with_newer_attributes) return;
    if (pair.scrub_none) message.put_u32(IFLA_NETKIT_SCRUB, NETKIT_SCRUB_NONE);
    if (pair.headroom != 0) message.put(kNetkitHeadroom, &pair.headroom, sizeof(pair.headroom));
  };
  return create_pair(socket, {
                                 .kind = "netkit",
                                 .host = {.name = pair.host_name,
                                          .mtu = pair.mtu,
                                          .gso_max_size = pair.gso_max_size,
                                          .gro_max_size = pair.gro_max_size,
                                          .mac = pair.host_mac},
                                 .pod = {.name = pair.pod_name,
                                         .mtu = pair.mtu,
                                         .gso_max_size = pair.gso_max_size,
                                         .gro_max_size = pair.gro_max_size,
                                         .mac = pair.pod_mac,
                                         .netns_fd = pair.pod_netns_fd},
                                 .peer_attribute = IFLA_NETKIT_PEER_INFO,
                                 .kind_attributes = attributes,
                             });
}

}  // namespace

Result<void> create_netkit(Socket& socket, const NetkitPair& pair) {
  auto created = create(socket, pair, true);
  // A kernel that does not know an attribute may ignore or refuse it; any other cause fails again.
  const bool newer = pair.scrub_none || pair.headroom != 0;
  if (!created && created.error().os_error == EINVAL && newer) created = create(socket, pair, false);
  if (!created && created.error().os_error == EOPNOTSUPP) {
    return fail(Code::unsupported, "this kernel has no netkit devices (CONFIG_NETKIT, Linux 6.7)");
  }
  return created;
}

}  // namespace netkite::netlink
