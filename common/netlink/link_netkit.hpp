// SPDX-License-Identifier: Apache-2.0
// netkit pairs (kernel 6.7 and later, UAPI linux/if_link.h IFLA_NETKIT_*). libnl 3.7 has no helpers for them.
#pragma once

#include "common/netlink/link.hpp"

namespace netkite::netlink {

// IFLA_NETKIT_HEADROOM of newer kernels, which the headers that we compile with may lack.
inline constexpr int kNetkitHeadroom = 8;

struct NetkitPair {
  std::string host_name{};  // primary
  std::string pod_name{};   // peer
  int pod_netns_fd = -1;    // borrowed; the peer is created in it under its final name. -1: this namespace
  bool l3 = true;
  std::uint32_t mtu = 1500;        // bytes, set on both ends (the peer does not inherit it)
  std::uint32_t gso_max_size = 0;  // bytes, both ends; 0: the kernel's default
  std::uint32_t gro_max_size = 0;
  // Kernels without them ignore both: room kept before packets, bytes, of either end, so that what writes headers there
  // has no need to copy; and IFLA_NETKIT_SCRUB none on the primary.
  std::uint16_t headroom = 0;
  bool scrub_none = false;
  std::optional<Mac> host_mac{}, pod_mac{};  // L2 only
};

// Both default policies are DROP: nothing passes either way until programs are attached.
[[nodiscard]] Result<void> create_netkit(Socket& socket, const NetkitPair& pair);

}  // namespace netkite::netlink
