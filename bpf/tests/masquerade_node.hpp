// SPDX-License-Identifier: Apache-2.0
// The node of service_node.hpp without services, whose pods reach the outside under its own address. It stands in a
// network namespace of the test's, with routes: the default ones lead to the uplink, those to 198.18.0.0/15 and
// 2001:2::/48 to a device that is none.
#pragma once

#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <cstdlib>
#include <stdexcept>

#include "bpf/abi/masquerade.h"
#include "bpf/tests/service_node.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::bpf_tests {

inline constexpr std::uint16_t kStackFirstPort = 65000, kExitLastPort = kStackFirstPort - 1;

// Once in a process: the routes that the programs ask for. Addresses, too, so that a socket can have them.
inline void stand_in_a_namespace() {
  static const bool kDone = [] {
    const auto command = [](const std::string& line) {
      if (std::system(line.c_str()) != 0) throw std::runtime_error(line);
    };
    if (::unshare(CLONE_NEWNET) != 0) throw std::runtime_error("unshare (as root?)");
    command("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0");
    command("ip link set lo up");
    for (const auto& [name, index] : {std::pair("up0", kUplink), std::pair("other0", kUplink + 100)}) {
      command("ip link add " + std::string(name) + " index " + std::to_string(index) + " type veth peer name " + name +
              "x");
      command("ip link set " + std::string(name) + " up && ip link set " + name + "x up");
    }
    command("ip address add 192.0.2.1/24 dev up0 && ip address add 2001:db8::1/64 dev up0 nodad");
    command("ip route add default via 192.0.2.254 && ip -6 route add default via 2001:db8::fe");
    command("ip route add 198.18.0.0/15 dev other0 && ip -6 route add 2001:2::/48 dev other0");
    return true;
  }();
  std::ignore = kDone;
}

struct MasqueradeNode : ServiceNode {
  explicit MasqueradeNode(const nk_config& config = kMasquerade) : ServiceNode(config, config) {
    exit_of(kUplink, "192.0.2.1", "2001:db8::1");
    // Whom pods talk with under their own addresses: a part of the families' `client`.
    except("203.0.113.128", 25);
    except("2001:db8:113:8000::", 49);
  }
  void exit_of(std::uint32_t uplink, const std::string& v4, const std::string& v6) const {
    nk_exit value{};
    if (!v4.empty()) write_address(value.address4, v4);
    if (!v6.empty()) write_address(value.address6, v6);
    value.first_port = kFirstPort;
    value.last_port = kExitLastPort;
    value.stack_first_port = kStackFirstPort;
    value.stack_last_port = kLastPort;
    put(pod.program, "nk_exit_v1", uplink, value);
  }
  void except(const std::string& prefix, unsigned length) const {
    nk_unmasked key{};
    write_address(key.address, prefix);
    key.length = prefix.find(':') == std::string::npos ? 96 + length : length;
    put(pod.program, "nk_unmasked_v1", key, std::uint32_t{0});
  }
};

// A socket of the node itself.
inline UniqueFd bound_socket(const Family& family, std::uint8_t protocol, std::uint16_t port) {
  const int type = protocol == kTcp ? SOCK_STREAM : SOCK_DGRAM;
  UniqueFd fd(::socket(family.name == "IPv4" ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0));
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  const int status = family.name == "IPv4" ? ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&four), sizeof(four))
                                           : ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&six), sizeof(six));
  if (status != 0 || (protocol == kTcp && ::listen(fd.get(), 1) != 0)) throw std::runtime_error("bind");
  return fd;
}

class Masquerade : public testing::Test {
 protected:
  static void SetUpTestSuite() { stand_in_a_namespace(); }

  MasqueradeNode node_;
  const Program& netdev_ = node_.netdev.program;
  const Program& pod_ = node_.pod.program;

  // A pod's first packet to the outside.
  static Talk leaving(const Flavour& flavour, std::uint16_t port = 40000, const std::string& pod = {}) {
    const auto& family = flavour.family;
    return {.ends = {.from = pod.empty() ? family.pod : pod, .from_port = port, .to = family.client, .to_port = 443},
            .protocol = flavour.protocol,
            .payload = Bytes(flavour.protocol == kUdp ? 33 : 0, 0xa5)};
  }
  static Ends masked(const Flavour& flavour, Ends ends, std::uint16_t port = 0) {
    ends.from = flavour.family.node;
    if (port != 0) ends.from_port = port;
    return ends;
  }
  // As good as one: what counts is another address.
  static std::string second_pod(const Flavour& flavour) {
    return flavour.family.name == "IPv4" ? "10.0.0.8" : "fd00::8";
  }
  // With a port of the node's range; returns what the world sees.
  Ends expect_another_port(const Flavour& flavour, const Talk& talk) const {
    const auto seen = ends_of(pod_.run(frame(talk)).frame);
    EXPECT_GE(seen.from_port, kFirstPort);
    EXPECT_LE(seen.from_port, kExitLastPort);
    expect_becomes(pod_, talk, masked(flavour, talk.ends, seen.from_port));
    return seen;
  }
};

}  // namespace netkite::bpf_tests
