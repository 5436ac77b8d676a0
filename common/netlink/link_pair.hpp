// SPDX-License-Identifier: Apache-2.0
// What veth and netkit pairs have in common: RTM_NEWLINK with the other end's header and attributes inside.
#pragma once

#include <functional>

#include "common/netlink/link.hpp"

namespace netkite::netlink {

// One end of a pair that is about to be created.
struct PairEnd {
  const std::string& name;
  std::uint32_t mtu = 0;           // bytes
  std::uint32_t gso_max_size = 0;  // bytes, 0: the kernel's default
  std::uint32_t gro_max_size = 0;
  std::uint32_t queues = 0;  // each way, 0: the kernel's default
  std::optional<Mac> mac{};
  int netns_fd = -1;  // borrowed; -1: the socket's namespace
};

struct PairRequest {
  std::string kind{};  // "veth", "netkit"
  PairEnd host, pod;
  int peer_attribute = 0;                           // VETH_INFO_PEER, IFLA_NETKIT_PEER_INFO
  std::function<void(Message&)> kind_attributes{};  // further ones in IFLA_INFO_DATA, may be empty
};

[[nodiscard]] Result<void> create_pair(Socket& socket, const PairRequest& request);

}  // namespace netkite::netlink
