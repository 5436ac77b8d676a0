// SPDX-License-Identifier: Apache-2.0
// Kernel notifications about links, addresses and routes, reduced to one question: can the View have changed?
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <set>

#include "agent/node/node.hpp"
#include "agent/node/pod_device.hpp"
#include "common/base/unique_fd.hpp"
#include "common/netlink/route.hpp"

namespace netkite::node {
namespace {

constexpr std::uint32_t kGroups =
    RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;

// The fixed part of a message. Copied out: the buffer guarantees no alignment for it.
template <typename Header>
std::optional<Header> header_of(const nlmsghdr& message) {
  if (message.nlmsg_len < NLMSG_LENGTH(sizeof(Header))) return std::nullopt;
  Header header;
  std::memcpy(&header, reinterpret_cast<const std::byte*>(&message) + NLMSG_HDRLEN, sizeof(header));
  return header;
}

// RTA_OIF of a route message, 0 without one.
std::uint32_t route_device(const nlmsghdr& message) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&message);
  std::size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(rtmsg));
  while (at + sizeof(rtattr) <= message.nlmsg_len) {
    rtattr attribute;
    std::memcpy(&attribute, bytes + at, sizeof(attribute));
    if (attribute.rta_len < sizeof(attribute) || at + attribute.rta_len > message.nlmsg_len) return 0;
    if (attribute.rta_type == RTA_OIF && attribute.rta_len >= RTA_LENGTH(sizeof(std::uint32_t))) {
      std::uint32_t index = 0;
      std::memcpy(&index, bytes + at + RTA_LENGTH(0), sizeof(index));
      return index;
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  return 0;
}

class NetlinkMonitor final : public Monitor {
 public:
  explicit NetlinkMonitor(UniqueFd socket) : socket_(std::move(socket)) {}

  // After the subscription, so that no pod device slips in between.
  Result<void> learn_pod_devices() {
    auto socket = netlink::Socket::open();
    if (!socket) return tl::make_unexpected(socket.error());
    const auto links = netlink::list_links(*socket);
    if (!links) return tl::make_unexpected(links.error());
    for (const auto& link : *links) {
      if (is_pod_device(link.name)) pod_devices_.insert(link.index);
    }
    return {};
  }

  [[nodiscard]] int fd() const override { return socket_.get(); }

  [[nodiscard]] Result<bool> drain() override {
    bool changed = false;
    for (;;) {
      alignas(nlmsghdr) std::array<std::byte, 65536> buffer;
      const ssize_t length = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (length < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return changed;
        if (errno != ENOBUFS) return fail_errno(errno, "receive from the route monitor");
        changed = true;  // messages were lost: anything may have happened
        continue;
      }
      changed |= any_matters({buffer.data(), static_cast<std::size_t>(length)});
    }
  }

 private:
  bool any_matters(std::span<const std::byte> data) {
    bool any = false;
    while (data.size() >= sizeof(nlmsghdr)) {
      const auto* message = reinterpret_cast<const nlmsghdr*>(data.data());
      if (message->nlmsg_len < sizeof(nlmsghdr) || message->nlmsg_len > data.size()) break;
      any |= matters(*message);
      data = data.subspan(std::min<std::size_t>(NLMSG_ALIGN(message->nlmsg_len), data.size()));
    }
    return any;
  }

  bool matters(const nlmsghdr& message) {
    switch (message.nlmsg_type) {
      case RTM_NEWLINK:
      case RTM_DELLINK:
        return link_matters(message);
      case RTM_NEWADDR:
      case RTM_DELADDR: {
        const auto address = header_of<ifaddrmsg>(message);
        return address && !pod_devices_.contains(address->ifa_index);
      }
      case RTM_NEWROUTE:
      case RTM_DELROUTE: {
        const auto route = header_of<rtmsg>(message);
        return route && route->rtm_protocol != netlink::kRouteProtocol && !pod_devices_.contains(route_device(message));
      }
      default:
        return false;
    }
  }

  // The kernel tells of a device before its addresses and routes, and of its end after theirs: the set is right for all
  // messages in between.
  bool link_matters(const nlmsghdr& message) {
    const auto link = netlink::parse_link(message);
    if (!link) return true;
    if (!is_pod_device(link->name)) return true;
    if (message.nlmsg_type == RTM_NEWLINK) {
      pod_devices_.insert(link->index);
    } else {
      pod_devices_.erase(link->index);
    }
    return false;
  }

  UniqueFd socket_;
  std::set<std::uint32_t> pod_devices_;
};

}  // namespace

Result<std::unique_ptr<Monitor>> Monitor::open() {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!socket.valid()) return fail_errno(errno, "open the route monitor");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kGroups;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail_errno(errno, "subscribe to route changes");
  }
  auto monitor = std::make_unique<NetlinkMonitor>(std::move(socket));
  if (auto learned = monitor->learn_pod_devices(); !learned) return wrap(learned.error(), "route monitor");
  return monitor;
}

}  // namespace netkite::node
