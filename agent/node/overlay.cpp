// SPDX-License-Identifier: Apache-2.0
#include "agent/node/overlay.hpp"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string>

#include "agent/node/pod_device.hpp"
#include "common/base/unique_fd.hpp"
#include "common/netlink/link_vxlan.hpp"

namespace netkite::node {
namespace {

bool is_as_configured(const netlink::Link& link, const config::Options& options, const Mac& mac) {
  return link.kind == "vxlan" && link.vxlan_port == options.overlay.port && link.vxlan_external && link.mac == mac;
}

// A kernel without the family has no such file.
Result<void> set(const std::string& path, char value) {
  std::ifstream file(path);
  char now = 0;
  if (!file.get(now) || now == value) return {};
  std::ofstream fresh(path);
  fresh << value << std::flush;
  if (!fresh.good()) return fail(Code::denied, path + " cannot be written");
  return {};
}

// What can be merged the uplink has merged already, tunnel and all. A second look costs every packet.
Result<void> merge_nothing() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno(errno, "overlay: open a socket");
  ethtool_value off{.cmd = ETHTOOL_SGRO, .data = 0};
  ifreq request{};
  kOverlayDevice.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  request.ifr_data = reinterpret_cast<char*>(&off);
  if (::ioctl(socket.get(), SIOCETHTOOL, &request) != 0) return fail_errno(errno, "overlay: turn receive offload off");
  return {};
}

Result<void> configure(const config::Options& options) {
  const auto conf = [&options](const std::string& family, const std::string& key) {
    return options.sysctl_dir + "/net/" + family + "/conf/" + std::string(kOverlayDevice) + "/" + key;
  };
  // Loose: other nodes' own addresses come from here while the route to them leads over an uplink.
  auto done = set(conf("ipv4", "rp_filter"), '2');
  if (done) done = set(conf("ipv6", "accept_ra"), '0');
  const bool v6 = std::ranges::any_of(options.pools, [](const Cidr& pool) { return pool.family() == Family::v6; });
  if (done && v6) done = set(conf("ipv6", "disable_ipv6"), '0');
  return done;
}

}  // namespace

Result<std::uint32_t> ensure_overlay(const config::Options& options, const Mac& mac) {
  auto socket = netlink::Socket::open();
  if (!socket) return wrap(socket.error(), "overlay");
  const std::string name(kOverlayDevice);
  const auto present = netlink::get_link(*socket, name);
  if (present && is_as_configured(*present, options, mac)) return present->index;
  if (present) {
    if (auto gone = netlink::delete_link(*socket, name); !gone) return wrap(gone.error(), "overlay");
  }
  auto made = netlink::create_vxlan(
      *socket,
      {.name = name, .port = static_cast<std::uint16_t>(options.overlay.port), .mtu = 1500 - kOverhead4, .mac = mac});
  if (!made) return wrap(made.error(), "overlay");
  const auto link = netlink::get_link(*socket, name);
  if (!link) return wrap(link.error(), "overlay");
  auto quiet = netlink::change_link(*socket, link->index, {.ipv6_addr_gen_none = true});
  if (quiet) quiet = merge_nothing();
  if (!quiet) return wrap(quiet.error(), "overlay");
  return link->index;
}

Result<void> raise_overlay(const config::Options& options, std::uint32_t ifindex, std::uint32_t mtu) {
  auto socket = netlink::Socket::open();
  if (!socket) return wrap(socket.error(), "overlay");
  const auto link = netlink::get_link(*socket, ifindex);
  if (!link) return wrap(link.error(), "overlay");
  netlink::LinkChange change;
  if (mtu != 0 && link->mtu != mtu) change.mtu = mtu;
  if (!link->up) change.up = true;
  if (change.mtu || change.up) {
    auto done = netlink::change_link(*socket, ifindex, change);
    if (!done && done.error().os_error == EADDRINUSE) {
      return fail(Code::invalid, "overlay.port: UDP port " + std::to_string(options.overlay.port) +
                                     " is taken by another program or device; free it, or give all nodes another one");
    }
    if (!done) return wrap(done.error(), "overlay");
  }
  return configure(options);
}

Result<void> remove_overlay() {
  auto socket = netlink::Socket::open();
  if (!socket) return wrap(socket.error(), "remove the overlay");
  return netlink::delete_link(*socket, std::string(kOverlayDevice));
}

}  // namespace netkite::node
