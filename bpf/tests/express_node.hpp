// SPDX-License-Identifier: Apache-2.0
// The node of service_node.hpp with an uplink that really is there, up0 with the number kUplink, and the program at XDP
// beside that at tcx. Everybody else is behind that uplink: 192.0.2.9 and 2001:db8::9 route to the other node's pods,
// .254 and ::fe to the rest. A test run at XDP comes in on the loopback device, which is an uplink here, too.
#pragma once

#include <sched.h>

#include <cstdlib>
#include <stdexcept>

#include "bpf/tests/service_node.hpp"
#include "skel/xdp_prefilter.skel.h"

namespace netkite::bpf_tests {

inline constexpr int kXdpDrop = 1, kXdpPass = 2, kXdpRedirect = 4;
inline constexpr MacBytes kUplinkMac = {2, 0, 0, 0, 0, 9}, kNodeMac = {2, 0, 0, 0, 1, 9},
                          kRouterMac = {2, 0, 0, 0, 1, 254};

constexpr nk_config at_xdp(nk_config config) {
  config.express = 1;
  return config;
}
inline constexpr nk_config kExpress = at_xdp(kServices), kExpressOverlay = at_xdp(kServicesOverlay);

inline void command(const std::string& line) {
  if (std::system(line.c_str()) != 0) throw std::runtime_error(line);
}

// A network namespace of the process's own, which goes with it.
inline void make_uplink() {
  if (::unshare(CLONE_NEWNET) != 0) throw std::runtime_error("unshare (as root?)");
  command("ip link set lo up && ip link add up0 index " + std::to_string(kUplink) +
          " address 02:00:00:00:00:09 type veth peer wire0");
  command("sysctl -qw net.ipv4.conf.all.forwarding=1 net.ipv6.conf.all.forwarding=1");
  command("ip link set wire0 up && ip link set up0 up");
  command("ip address add 192.0.2.1/24 dev up0 && ip address add 2001:db8::1/64 dev up0 nodad");
  for (const std::string router : {"192.0.2.9 lladdr 02:00:00:00:01:09", "2001:db8::9 lladdr 02:00:00:00:01:09",
                                   "192.0.2.254 lladdr 02:00:00:00:01:fe", "2001:db8::fe lladdr 02:00:00:00:01:fe"}) {
    command("ip neighbor replace " + router + " dev up0 nud permanent");
  }
  command("ip route add 10.0.9.0/24 via 192.0.2.9 && ip route add default via 192.0.2.254");
  command("ip route add fd00:0:0:9::/64 via 2001:db8::9 && ip route add default via 2001:db8::fe");
}

struct ExpressNode : ServiceNode {
  explicit ExpressNode(const nk_config& config = kExpress)
      : ServiceNode(config, config),
        xdp(OnNode<xdp_prefilter>::elf(), OnNode<xdp_prefilter>::size(), config, &netdev.program) {
    for (const auto ifindex : {kDevice, kUplink}) set_uplink(ifindex, NK_UPLINK_SENDS);
    renew();
  }
  void set_uplink(std::uint32_t ifindex, std::uint16_t flags) const {
    nk_uplink uplink{.mac = {}, .flags = flags};
    std::ranges::copy(kUplinkMac, uplink.mac);
    put(xdp, "nk_uplink_v1", ifindex, uplink);
  }
  // What is remembered is not good any more.
  void renew() const {
    static std::uint64_t epoch = 0;
    netdev.program.set_epoch(++epoch);
  }
  [[nodiscard]] Outcome at_tcx(const Bytes& frame) const { return netdev.program.run(frame, 0, kUplink); }
  [[nodiscard]] Outcome at_xdp(const Bytes& frame) const { return xdp.run(frame); }

  Program xdp;
};

inline Bytes with_macs(Bytes frame, const MacBytes& destination, const MacBytes& source) {
  std::ranges::copy(destination, frame.begin());
  std::ranges::copy(source, frame.begin() + 6);
  return frame;
}

// As it comes in on the uplink.
inline Bytes on_uplink(Bytes frame) { return with_macs(std::move(frame), kUplinkMac, kRouterMac); }

}  // namespace netkite::bpf_tests
