// SPDX-License-Identifier: Apache-2.0
// Network devices: look up, change, delete, list.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/ip.hpp"
#include "common/netlink/socket.hpp"

namespace netkite::netlink {

// RTM_NEWLINK as seen from the socket's namespace.
struct Link {
  std::uint32_t index = 0;
  std::string name{};
  std::string kind{};   // IFLA_INFO_KIND: "netkit", "veth", "bridge", … empty for physical devices
  std::string alias{};  // IFLA_IFALIAS
  std::uint32_t mtu = 0;
  bool up = false;       // administratively (IFF_UP)
  bool running = false;  // operationally (IFF_RUNNING)
  bool loopback = false;
  std::uint32_t master = 0;      // index of the bridge or bond above, 0 if none
  std::uint32_t peer_index = 0;  // IFLA_LINK, 0 if none
  std::optional<Mac> mac{};
  std::uint32_t gso_max_size = 0;  // bytes
  std::uint32_t gro_max_size = 0;
  // netkit only
  std::optional<std::uint32_t> netkit_mode{};    // NETKIT_L2 0, NETKIT_L3 1
  std::optional<std::uint32_t> netkit_policy{};  // NETKIT_PASS 0, NETKIT_DROP 2
  std::optional<std::uint32_t> netkit_peer_policy{};
  std::optional<std::uint32_t> netkit_scrub{};     // NETKIT_SCRUB_NONE 0, _DEFAULT 1; none: the kernel lacks it
  std::optional<std::uint16_t> netkit_headroom{};  // bytes; none: the kernel lacks it
  bool netkit_primary = false;
  // vxlan only
  std::optional<std::uint16_t> vxlan_port{};  // UDP
  bool vxlan_external = false;                // each packet says where it goes
};

// not_found when there is none of that name or index. RTM_GETLINK also flushes the kernel's pending link-watch work, so
// a get on both ends after "up" makes a new device carry its first packet.
[[nodiscard]] Result<Link> get_link(Socket& socket, const std::string& name);
[[nodiscard]] Result<Link> get_link(Socket& socket, std::uint32_t index);
[[nodiscard]] Result<std::vector<Link>> list_links(Socket& socket);

struct LinkChange {
  std::optional<bool> up{};
  std::optional<std::uint32_t> mtu{};  // bytes
  std::optional<std::string> alias{};
  std::optional<Mac> mac{};
  std::optional<std::uint32_t> gso_max_size{};  // bytes
  std::optional<std::uint32_t> gro_max_size{};
  std::optional<bool> ipv6_addr_gen_none{};  // IFLA_INET6_ADDR_GEN_MODE none: no link-local address
};
[[nodiscard]] Result<void> change_link(Socket& socket, std::uint32_t index, const LinkChange& change);

// Deleting what is gone already succeeds. Deleting one end of a pair deletes both.
[[nodiscard]] Result<void> delete_link(Socket& socket, const std::string& name);
[[nodiscard]] Result<void> delete_link(Socket& socket, std::uint32_t index);
// The same, back as soon as the device has left its namespace: the kernel frees it a grace period of RCU later, some
// 20 ms, in a child process. See Socket::request_early.
[[nodiscard]] Result<void> delete_link_early(Socket& socket, const std::string& name);

// For tests of RTNLGRP_LINK listeners and for callers that read messages themselves.
[[nodiscard]] std::optional<Link> parse_link(const nlmsghdr& message);

}  // namespace netkite::netlink
