// SPDX-License-Identifier: Apache-2.0
// A pod's device: made in steps, so that the agent attaches its programs before anything is up.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "common/base/result.hpp"
#include "common/netlink/link.hpp"
#include "common/netlink/socket.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::cni {

class PodLink {
 public:
  // What to build, where. The descriptor and the reply are borrowed and outlive the object; the sockets are of the
  // host's and of the pod's namespace.
  struct Plan {
    const wire::PrepareReply& reply;
    std::string pod_ifname;
    int netns_fd = -1;
  };
  PodLink(netlink::Socket host, netlink::Socket pod, Plan plan)
      : host_(std::move(host)), pod_(std::move(pod)), plan_(std::move(plan)) {}

  // The pair, both ends down; Code::exists when either name is taken.
  [[nodiscard]] Result<void> create();
  [[nodiscard]] bool pod_ifname_taken();
  // Addresses, while the pod's end is still down: nobody can use them yet.
  [[nodiscard]] Result<void> configure();
  // Both ends up, routes. Only behind the agent's commit.
  [[nodiscard]] Result<void> activate();

  [[nodiscard]] std::uint32_t host_ifindex() const { return host_ifindex_; }
  [[nodiscard]] std::uint32_t pod_ifindex() const { return pod_ifindex_; }
  // False where another interface of the pod had the default route already: that one stays.
  [[nodiscard]] bool has_default(Family family) const { return family == Family::v4 ? default4_ : default6_; }
  [[nodiscard]] netlink::Socket& host_socket() { return host_; }

 private:
  [[nodiscard]] Result<void> suppress_link_local(netlink::Socket& socket, std::uint32_t ifindex);
  [[nodiscard]] Result<void> add_address(const Ip& address);
  [[nodiscard]] Result<void> add_default_route(Family family);

  netlink::Socket host_, pod_;
  Plan plan_;
  std::uint32_t host_ifindex_ = 0, pod_ifindex_ = 0;
  bool default4_ = false, default6_ = false;
};

}  // namespace netkite::cni
