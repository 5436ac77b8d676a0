// SPDX-License-Identifier: Apache-2.0
// The host's end of a pod's pair, as the kernel has it: the manager's edge to netlink and /proc/sys, apart so that
// tests can stand in for it. Room-internal.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/endpoint/endpoint.hpp"
#include "common/base/result.hpp"
#include "common/netlink/link.hpp"

namespace netkite::endpoint {

// Where the pods of L2 modes send to; a permanent neighbour in the pod, on no device of the host.
inline constexpr std::string_view kGateway4 = "169.254.1.1";
inline constexpr std::string_view kGateway6 = "fe80::1";

class HostLink {
 public:
  virtual ~HostLink() = default;

  [[nodiscard]] virtual Result<netlink::Link> find(const std::string& name) = 0;  // not_found
  [[nodiscard]] virtual Result<std::vector<netlink::Link>> list() = 0;

  // Brings the host's end up (the kernel takes no routes on a device that is down), turns router advertisements off on
  // it, and adds neighbours (L2) and one route for each address. Only after the programs are attached. Idempotent.
  // What the pod gets is limited by a queue on it, if it is to be.
  [[nodiscard]] virtual Result<void> configure(const Endpoint& endpoint) = 0;
  // Takes that queue away.
  [[nodiscard]] virtual Result<void> lift_limit(const Endpoint& endpoint) = 0;
  // not_found with one line when packets to an address of the pod would not go to its device,
  // or not through its queue.
  [[nodiscard]] virtual Result<void> verify(const Endpoint& endpoint) = 0;
  // Whether it is an address of the node.
  [[nodiscard]] virtual Result<bool> owns(const Ip& address) = 0;
  // Deletes the pair, and with it routes, neighbours and settings. Gone already: success.
  [[nodiscard]] virtual Result<void> remove(const std::string& name) = 0;
};

// In the network namespace of the thread that makes the first call. `sysctl_dir`: where the kernel's settings are.
[[nodiscard]] std::unique_ptr<HostLink> make_host_link(const std::string& sysctl_dir);

// Is `link` what the plugin was told to build for `endpoint`? invalid with one line when not.
[[nodiscard]] Result<void> matches(const netlink::Link& link, const Endpoint& endpoint);
// A name that wire::host_ifname gives, on a device of a kind that we make.
[[nodiscard]] bool is_ours(const netlink::Link& link);

}  // namespace netkite::endpoint
