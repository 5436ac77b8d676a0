// SPDX-License-Identifier: Apache-2.0
// The node's place in the network: its uplinks, the routes to the peers, masquerade, forwarding.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/config/options.hpp"
#include "agent/datapath/datapath.hpp"
#include "common/base/result.hpp"

namespace netkite::node {

struct Uplink {
  std::uint32_t ifindex = 0;
  std::string name;
  std::uint32_t mtu = 0;  // bytes
  std::uint32_t gso_max_size = 0, gro_max_size = 0;
  // What the node is to whom it talks with by this device, at most one of each family.
  std::vector<Ip> addresses{};
};

// The overlay's device, and what fits into it.
struct Overlay {
  std::uint32_t ifindex = 0;  // 0: there is none
  std::uint32_t mtu = 0;      // bytes of IP packet that the smallest uplink leaves
};

// What the kernel's devices and routes make of the configuration now.
struct View {
  std::vector<Uplink> uplinks;
  Overlay overlay;
  std::uint32_t pod_mtu = 0;                         // bytes: options.mtu, else what uplinks and overlay allow
  std::uint32_t gso_max_size = 0, gro_max_size = 0;  // the smallest of the uplinks', 0 when unknown
  std::uint16_t headroom = 0;                        // bytes that the overlay writes before a pod's packet
  std::vector<datapath::Remote> remotes;
  std::vector<std::string> problems;  // one line each: "peer b: no route to 192.0.2.2"
};

// Reads links, addresses and routes of the agent's namespace. No uplink at all is a problem line, not an error.
// `overlay`: the device of ensure_overlay(), 0 without one.
[[nodiscard]] Result<View> discover(const config::Options& options, std::uint32_t overlay = 0);

// Makes the kernel agree: routes to the peers' pod ranges, `unreachable` for our own pools, both under our route
// protocol; removes routes of that protocol that are not wanted (host routes of pods excepted: they are /32 or /128
// routes inside our pools). Idempotent.
[[nodiscard]] Result<void> apply_routes(const config::Options& options, const View& view);

// One nftables table of our own, `inet netkite`, replaced in one transaction; removed when masquerade is off.
[[nodiscard]] Result<void> apply_masquerade(const config::Options& options);
// net.ipv4.ip_forward and net.ipv6.conf.all.forwarding, written only where they are 0 and a pool of that family exists.
[[nodiscard]] Result<void> apply_forwarding(const config::Options& options);
// Removes every route of our protocol, the overlay's device, the uplinks' queues and the table: for `netkite-agent
// --cleanup`.
[[nodiscard]] Result<void> remove_all(const config::Options& options);

// A netlink socket subscribed to link, address and route changes: readable when something changed.
class Monitor {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Monitor>> open();
  virtual ~Monitor() = default;
  [[nodiscard]] virtual int fd() const = 0;
  // Consumes what is there; true when any of it can change the View (changes to pods' own devices do not count).
  [[nodiscard]] virtual Result<bool> drain() = 0;
};

}  // namespace netkite::node
