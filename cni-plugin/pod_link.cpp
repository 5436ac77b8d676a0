// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/pod_link.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "common/base/unique_fd.hpp"
#include "common/netlink/address.hpp"
#include "common/netlink/link_netkit.hpp"
#include "common/netlink/link_veth.hpp"
#include "common/netlink/neighbor.hpp"
#include "common/netlink/netns.hpp"
#include "common/netlink/route.hpp"

namespace netkite::cni {
namespace {

Result<void> create_pair(netlink::Socket& socket, const PodLink::Plan& plan) {
  const auto& reply = plan.reply;
  if (reply.device == wire::DeviceMode::veth) {
    return netlink::create_veth(socket, {.host_name = reply.host_ifname,
                                         .pod_name = plan.pod_ifname,
                                         .pod_netns_fd = plan.netns_fd,
                                         .mtu = reply.mtu,
                                         .gso_max_size = reply.gso_max_size,
                                         .gro_max_size = reply.gro_max_size,
                                         .host_mac = reply.host_mac,
                                         .pod_mac = reply.pod_mac});
  }
  return netlink::create_netkit(socket, {.host_name = reply.host_ifname,
                                         .pod_name = plan.pod_ifname,
                                         .pod_netns_fd = plan.netns_fd,
                                         .l3 = reply.device == wire::DeviceMode::netkit,
                                         .mtu = reply.mtu,
                                         .gso_max_size = reply.gso_max_size,
                                         .gro_max_size = reply.gro_max_size,
                                         .headroom = reply.headroom,
                                         .scrub_none = reply.scrub_none,
                                         .host_mac = reply.host_mac,
                                         .pod_mac = reply.pod_mac});
}

bool has_family(const wire::PrepareReply& reply, Family family) {
  return std::any_of(reply.addresses.begin(), reply.addresses.end(),
                     [family](const Ip& address) { return address.family() == family; });
}

// Container runtimes turn IPv6 off in namespaces of their own accord; the pod's address needs it on this device.
Result<void> enable_ipv6(int netns_fd, const std::string& ifname) {
  const std::string path = "/proc/sys/net/ipv6/conf/" + ifname + "/disable_ipv6";
  return netlink::in_netns(netns_fd, [&path]() -> Result<void> {
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid() || ::write(file.get(), "0", 1) != 1) return fail_errno(errno, "write 0 to " + path);
    return {};
  });
}

}  // namespace

Result<void> PodLink::create() {
  if (auto created = create_pair(host_, plan_); !created) {
    return wrap(std::move(created.error()), "create the pair " + plan_.reply.host_ifname + ", " + plan_.pod_ifname);
  }
  auto link = netlink::get_link(host_, plan_.reply.host_ifname);
  if (!link) return wrap(std::move(link.error()), "look up the pair just made");
  host_ifindex_ = link->index;
  pod_ifindex_ = link->peer_index;
  if (pod_ifindex_ == 0) return fail(Code::io, "the kernel does not tell the index of the peer of " + link->name);
  return {};
}

bool PodLink::pod_ifname_taken() { return netlink::get_link(pod_, plan_.pod_ifname).has_value(); }

Result<void> PodLink::suppress_link_local(netlink::Socket& socket, std::uint32_t ifindex) {
  auto changed = netlink::change_link(socket, ifindex, {.ipv6_addr_gen_none = true});
  // A kernel without IPv6 makes no link-local addresses either.
  if (changed || (changed.error().code == Code::unsupported && !has_family(plan_.reply, Family::v6))) return {};
  return wrap(std::move(changed.error()), "turn off IPv6 link-local addresses");
}

Result<void> PodLink::add_address(const Ip& address) {
  const netlink::Address wanted = {.ifindex = pod_ifindex_, .address = address, .prefix_length = address.width()};
  auto added = netlink::add_address(pod_, wanted);
  if (!added && added.error().code == Code::denied && address.is_v6()) {
    if (auto enabled = enable_ipv6(plan_.netns_fd, plan_.pod_ifname); !enabled) return enabled;
    added = netlink::add_address(pod_, wanted);
  }
  if (!added) return wrap(std::move(added.error()), "add " + address.to_string() + " to " + plan_.pod_ifname);
  return {};
}

Result<void> PodLink::configure() {
  if (auto done = suppress_link_local(host_, host_ifindex_); !done) return done;
  if (auto done = suppress_link_local(pod_, pod_ifindex_); !done) return done;
  for (const Ip& address : plan_.reply.addresses) {
    if (auto added = add_address(address); !added) return added;
  }
  return {};
}

Result<void> PodLink::add_default_route(Family family) {
  const auto any = Cidr::of(family == Family::v4 ? Ip::v4(0) : Ip::v6({}), 0);
  if (!any) return tl::make_unexpected(any.error());
  netlink::Route route = {.destination = *any, .ifindex = pod_ifindex_, .link_scope = true};
  if (const auto& gateway = family == Family::v4 ? plan_.reply.gateway4 : plan_.reply.gateway6) {
    if (!plan_.reply.host_mac) return fail(Code::io, "the agent gave a gateway but no host_mac");
    // Nobody answers ARP or neighbour solicitations on the host's end.
    if (auto added = netlink::add_permanent_neighbor(pod_, pod_ifindex_, *gateway, *plan_.reply.host_mac); !added) {
      return wrap(std::move(added.error()), "add the gateway's neighbour entry");
    }
    route.gateway = *gateway;
    route.onlink = true;
    route.link_scope = false;
  }
  auto added = netlink::add_route(pod_, route);
  if (!added && added.error().code != Code::exists) {
    return wrap(std::move(added.error()), "add the default route of " + plan_.pod_ifname);
  }
  (family == Family::v4 ? default4_ : default6_) = added.has_value();
  return {};
}

Result<void> PodLink::activate() {
  // A route needs its device up; the host's end is last, so the pod is complete when the first packet passes.
  if (auto up = netlink::change_link(pod_, pod_ifindex_, {.up = true}); !up) {
    return wrap(std::move(up.error()), "bring up " + plan_.pod_ifname);
  }
  for (const Family family : {Family::v4, Family::v6}) {
    if (!has_family(plan_.reply, family)) continue;
    if (auto added = add_default_route(family); !added) return added;
  }
  if (auto up = netlink::change_link(host_, host_ifindex_, {.up = true}); !up) {
    return wrap(std::move(up.error()), "bring up " + plan_.reply.host_ifname);
  }
  // Asking flushes the kernel's pending carrier work: without it the pod's first packet may be lost.
  if (auto host = netlink::get_link(host_, host_ifindex_); !host) return tl::make_unexpected(host.error());
  if (auto pod = netlink::get_link(pod_, pod_ifindex_); !pod) return tl::make_unexpected(pod.error());
  return {};
}

}  // namespace netkite::cni
