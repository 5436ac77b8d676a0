// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <fstream>
#include <string>
#include <string_view>

#include "agent/node/node.hpp"
#include "common/netlink/route.hpp"

namespace netkite::node {
namespace {

constexpr std::string_view kForwarding4 = "/net/ipv4/ip_forward";
constexpr std::string_view kForwarding6 = "/net/ipv6/conf/all/forwarding";
constexpr std::uint8_t kRouterAdvertisement = 9;  // RTPROT_RA

std::string read_word(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

Result<void> turn_on(const std::string& path) {
  std::ofstream file(path);
  file << '1' << std::flush;
  if (file.good()) return {};
  return fail(
      Code::denied,
      path + " cannot be written: turn IP forwarding on outside of the agent and set manage_forwarding to false");
}

// A router takes no default route from router advertisements unless accept_ra is 2: turning forwarding on under such a
// device would cut the node off.
Result<void> check_router_advertisements(const std::string& sysctl_dir) {
  auto socket = netlink::Socket::open();
  if (!socket) return wrap(socket.error(), "forwarding");
  const auto routes = netlink::list_routes(*socket, kRouterAdvertisement);
  if (!routes) return wrap(routes.error(), "forwarding");
  for (const auto& route : *routes) {
    if (route.destination.length() != 0 || route.ifindex == 0) continue;
    const auto link = netlink::get_link(*socket, route.ifindex);
    if (!link || read_word(sysctl_dir + "/net/ipv6/conf/" + link->name + "/accept_ra") != "1") continue;
    return fail(Code::invalid,
                "net.ipv6.conf.all.forwarding is off, and turning it on would take away the default route that " +
                    link->name + " learns from router advertisements: set net.ipv6.conf." + link->name +
                    ".accept_ra to 2 first");
  }
  return {};
}

bool has_pool(const config::Options& options, Family family) {
  return std::ranges::any_of(options.pools, [&](const Cidr& pool) { return pool.family() == family; });
}

}  // namespace

Result<void> apply_forwarding(const config::Options& options) {
  if (!options.manage_forwarding) return {};
  const auto forwarding4 = options.sysctl_dir + std::string(kForwarding4);
  const auto forwarding6 = options.sysctl_dir + std::string(kForwarding6);
  if (has_pool(options, Family::v4) && read_word(forwarding4) == "0") {
    if (auto done = turn_on(forwarding4); !done) return done;
  }
  if (has_pool(options, Family::v6) && read_word(forwarding6) == "0") {
    if (auto safe = check_router_advertisements(options.sysctl_dir); !safe) return safe;
    return turn_on(forwarding6);
  }
  return {};
}

}  // namespace netkite::node
