// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoint/host_link.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "agent/endpoint/limits.hpp"
#include "common/base/unique_fd.hpp"
#include "common/netlink/address.hpp"
#include "common/netlink/neighbor.hpp"
#include "common/netlink/route.hpp"

namespace netkite::endpoint {
namespace {

// linux/if_link.h: enum netkit_mode, enum netkit_action
constexpr std::uint32_t kNetkitL2 = 0, kNetkitL3 = 1, kNetkitDrop = 2;

bool is_l2(const Endpoint& endpoint) { return endpoint.device != wire::DeviceMode::netkit; }

// A kernel without IPv6 has none of these files: nothing to set then. The value is read first because writing some of
// them waits for the RTNL lock, which is busy while pods come and go.
Result<void> set_ipv6_conf(const std::string& folder, const std::string& key, char value) {
  const auto path = folder + "/" + key;
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file.valid()) {
    if (errno == ENOENT) return {};
    return fail_errno(errno, "open " + path);
  }
  char now = 0;
  if (::pread(file.get(), &now, 1, 0) == 1 && now == value) return {};
  if (::pwrite(file.get(), &value, 1, 0) != 1) return fail_errno(errno, "write " + path);
  return {};
}

netlink::Route route_to(const Endpoint& endpoint, const Ip& address) {
  return {
      .destination = Cidr::host(address),
      .ifindex = endpoint.host_ifindex,
      .link_scope = true,
      .protocol = netlink::kRouteProtocol,
  };
}

class KernelHostLink final : public HostLink {
 public:
  explicit KernelHostLink(std::string sysctl_dir) : sysctl_dir_(std::move(sysctl_dir)) {}

  Result<netlink::Link> find(const std::string& name) override {
    auto open = socket();
    if (!open) return tl::make_unexpected(open.error());
    return netlink::get_link(**open, name);
  }

  Result<std::vector<netlink::Link>> list() override {
    auto open = socket();
    if (!open) return tl::make_unexpected(open.error());
    return netlink::list_links(**open);
  }

  Result<void> configure(const Endpoint& endpoint) override {
    auto open = socket();
    if (!open) return tl::make_unexpected(open.error());
    const bool v6 = std::ranges::any_of(endpoint.addresses, &Ip::is_v6);
    const auto settings = sysctl_dir_ + "/net/ipv6/conf/" + endpoint.host_ifname;
    auto set = set_ipv6_conf(settings, "accept_ra", '0');
    if (set && v6) set = set_ipv6_conf(settings, "disable_ipv6", '0');
    if (!set) return set;
    if (endpoint.bandwidth.ingress_rate != 0) {
      auto limited = netlink::set_tbf(**open, endpoint.host_ifindex, queue_of(endpoint.bandwidth));
      if (!limited) return limited;
    }
    if (auto up = netlink::change_link(**open, endpoint.host_ifindex, {.up = true}); !up) return up;
    for (const auto& address : endpoint.addresses) {
      if (auto added = add(**open, endpoint, address); !added) return added;
    }
    return {};
  }

  Result<void> verify(const Endpoint& endpoint) override {
    auto open = socket();
    if (!open) return tl::make_unexpected(open.error());
    for (const auto& address : endpoint.addresses) {
      const auto route = netlink::resolve_route(**open, address);
      if (!route || route->ifindex != endpoint.host_ifindex) {
        return fail(Code::not_found, "the host has no route to " + address.to_string() + " on " + endpoint.host_ifname);
      }
    }
    return endpoint.bandwidth.ingress_rate == 0 ? Result<void>() : verify_queue(**open, endpoint);
  }

  Result<void> lift_limit(const Endpoint& endpoint) override {
    auto open = socket();
    if (!open) return tl::make_unexpected(open.error());
    return netlink::delete_our_qdisc(**open, endpoint.host_ifindex);
  }

  Result<bool> owns(const Ip& address) override {
    auto open = socket();
    if (!open) return tl::make_unexpected(open.error());
    const auto addresses = netlink::list_addresses(**open);
    if (!addresses) return tl::make_unexpected(addresses.error());
    return std::ranges::find(*addresses, address, &netlink::Address::address) != addresses->end();
  }

  Result<void> remove(const std::string& name) override {
    auto open = socket();
    if (!open) return tl::make_unexpected(open.error());
    return netlink::delete_link(**open, name);
  }

 private:
  Result<netlink::Socket*> socket() {
    if (!socket_) {
      auto opened = netlink::Socket::open();
      if (!opened) return tl::make_unexpected(opened.error());
      socket_.emplace(*std::move(opened));
    }
    return &*socket_;
  }

  static Result<void> add(netlink::Socket& socket, const Endpoint& endpoint, const Ip& address) {
    if (is_l2(endpoint)) {
      auto neighbor = netlink::add_permanent_neighbor(socket, endpoint.host_ifindex, address, endpoint.pod_mac);
      if (!neighbor) return neighbor;
    }
    return netlink::replace_route(socket, route_to(endpoint, address));
  }

  static Result<void> verify_queue(netlink::Socket& socket, const Endpoint& endpoint) {
    const auto wanted = queue_of(endpoint.bandwidth);
    const auto root = netlink::get_root_qdisc(socket, endpoint.host_ifindex);
    if (root && root->kind == "tbf" && root->rate == wanted.rate && root->limit == wanted.limit) return {};
    return fail(Code::not_found, endpoint.host_ifname + " has no queue that limits it to " +
                                     std::to_string(endpoint.bandwidth.ingress_rate) + " bit/s");
  }

  std::string sysctl_dir_;
  std::optional<netlink::Socket> socket_;
};

}  // namespace

std::unique_ptr<HostLink> make_host_link(const std::string& sysctl_dir) {
  return std::make_unique<KernelHostLink>(sysctl_dir);
}

Result<void> matches(const netlink::Link& link, const Endpoint& endpoint) {
  const auto wrong = [&endpoint](const std::string& what) {
    return fail(Code::invalid, "device " + endpoint.host_ifname + ": " + what);
  };
  if (link.index != endpoint.host_ifindex) {
    return wrong("its index is " + std::to_string(link.index) + ", not " + std::to_string(endpoint.host_ifindex));
  }
  const std::string kind = endpoint.device == wire::DeviceMode::veth ? "veth" : "netkit";
  if (link.kind != kind) return wrong("it is of kind \"" + link.kind + "\", not " + kind);
  if (is_l2(endpoint) && link.mac != endpoint.host_mac) return wrong("its MAC is not " + endpoint.host_mac.to_string());
  if (kind == "veth") return {};
  if (!link.netkit_primary) return wrong("it is not the primary of its pair");
  const auto mode = is_l2(endpoint) ? kNetkitL2 : kNetkitL3;
  if (link.netkit_mode != mode) return wrong(is_l2(endpoint) ? "it is not in L2 mode" : "it is not in L3 mode");
  // Anything else would let packets through whenever no program is attached.
  if (link.netkit_policy != kNetkitDrop || link.netkit_peer_policy != kNetkitDrop) {
    return wrong("its default policies are not both \"blackhole\"");
  }
  return {};
}

bool is_ours(const netlink::Link& link) {
  constexpr std::string_view kPrefix = "nk";
  constexpr std::size_t kDigits = 12;
  if (link.kind != "netkit" && link.kind != "veth") return false;
  if (!link.name.starts_with(kPrefix) || link.name.size() != kPrefix.size() + kDigits) return false;
  return link.name.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string::npos;
}

}  // namespace netkite::endpoint
