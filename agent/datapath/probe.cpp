// SPDX-License-Identifier: Apache-2.0
// Kernel features by trying them, in network namespaces that end with the thread that tries.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <optional>
#include <thread>

#include "agent/datapath/datapath.hpp"
#include "agent/datapath/kernel_objects.hpp"
#include "common/netlink/link_netkit.hpp"

namespace netkite::datapath {
namespace {

constexpr std::uint32_t kLoopback = 1;  // its index in every namespace

template <std::size_t kSize>
UniqueFd load(const std::array<bpf_insn, kSize>& code) {
  return UniqueFd(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "nk_probe", "Dual BSD/GPL", code.data(), code.size(), nullptr));
}

template <std::uint8_t kRegister>
constexpr bpf_insn set(std::int32_t value) {
  return {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = kRegister, .src_reg = 0, .off = 0, .imm = value};
}
constexpr bpf_insn call(std::int32_t helper) {
  return {.code = BPF_JMP | BPF_CALL, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = helper};
}
constexpr bpf_insn kExit = {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0};

// A program that passes everything on.
UniqueFd load_nothing() { return load(std::array{set<BPF_REG_0>(0), kExit}); }

UniqueFd load_peer_redirect(std::uint32_t ifindex) {
  return load(std::array{set<BPF_REG_1>(static_cast<std::int32_t>(ifindex)), set<BPF_REG_2>(0),
                         call(BPF_FUNC_redirect_peer), kExit});
}

UniqueFd link(int program_fd, std::uint32_t ifindex, Hook hook) {
  return UniqueFd(bpf_link_create(program_fd, static_cast<int>(ifindex), attach_type(hook), nullptr));
}

bool has_attribute(const nlmsghdr& message, int wanted) {
  std::array<nlattr*, IFLA_MAX + 1> link{};
  std::array<nlattr*, IFLA_INFO_MAX + 1> info{};
  auto* header = const_cast<nlmsghdr*>(&message);  // libnl only reads it
  if (nlmsg_parse(header, sizeof(ifinfomsg), link.data(), IFLA_MAX, nullptr) < 0) return false;
  if (link[IFLA_LINKINFO] == nullptr) return false;
  if (nla_parse_nested(info.data(), IFLA_INFO_MAX, link[IFLA_LINKINFO], nullptr) < 0) return false;
  return info[IFLA_INFO_DATA] != nullptr && nla_find(static_cast<nlattr*>(nla_data(info[IFLA_INFO_DATA])),
                                                     nla_len(info[IFLA_INFO_DATA]), wanted) != nullptr;
}

netlink::Message ask_for(std::uint32_t ifindex) {
  netlink::Message request(RTM_GETLINK, 0);
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(ifindex);
  request.header(header);
  return request;
}

// A kernel that knows the attribute shows it; others ignore it.
bool shows_scrub(netlink::Socket& socket, std::uint32_t ifindex) {
  bool shown = false;
  const auto done = socket.query(ask_for(ifindex), "probe", [&](const nlmsghdr& answer) {
    shown = shown || has_attribute(answer, IFLA_NETKIT_SCRUB);
  });
  return done && shown;
}

// While somebody expedites them, no attach shows whether it waits for grace periods.
bool grace_periods_are_normal() {
  std::ifstream file("/sys/kernel/rcu_expedited");
  int value = 1;
  return file >> value && value == 0;
}

// Attaches to a hook that had nothing. A grace period that nobody expedites takes some ticks of the kernel's clock.
UniqueFd link_timed(int program_fd, std::uint32_t ifindex, Hook hook, bool& quick) {
  const bool normal = grace_periods_are_normal();
  const auto start = std::chrono::steady_clock::now();
  UniqueFd made = link(program_fd, ifindex, hook);
  const auto took = std::chrono::steady_clock::now() - start;
  quick = made.valid() && normal && grace_periods_are_normal() && took < std::chrono::milliseconds(1);
  return made;
}

struct Pair {
  std::uint32_t primary = 0, peer = 0;  // indexes, each in its own namespace
};

// Both ends up, and ready for their first packet.
std::optional<Pair> make_pair(netlink::Socket& here, netlink::Socket& there, const netlink::NetkitPair& pair) {
  if (!netlink::create_netkit(here, pair)) return std::nullopt;
  const auto primary = netlink::get_link(here, pair.host_name);
  const auto peer = netlink::get_link(there, pair.pod_name);
  if (!primary || !peer) return std::nullopt;
  const netlink::LinkChange up{.up = true};
  if (!netlink::change_link(here, primary->index, up) || !netlink::change_link(there, peer->index, up)) {
    return std::nullopt;
  }
  if (!netlink::get_link(here, primary->index) || !netlink::get_link(there, peer->index)) return std::nullopt;
  return Pair{.primary = primary->index, .peer = peer->index};
}

std::uint64_t received_packets(netlink::Socket& socket, std::uint32_t ifindex) {
  std::uint64_t packets = 0;
  const auto each = [&](const nlmsghdr& answer) {
    auto* message = const_cast<nlmsghdr*>(&answer);  // libnl only reads it
    nlattr* attribute = nlmsg_find_attr(message, sizeof(ifinfomsg), IFLA_STATS64);
    rtnl_link_stats64 statistics{};
    if (attribute == nullptr || nla_memcpy(&statistics, attribute, sizeof(statistics)) <= 0) return;
    packets = statistics.rx_packets;
  };
  return socket.query(ask_for(ifindex), "probe", each) ? packets : 0;
}

// From the device as its owner would send it: an Ethernet header and an empty IPv4 packet, for nobody.
bool send_something(std::uint32_t ifindex) {
  const UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  std::array<std::uint8_t, ETH_HLEN + 20> frame{};
  frame.at(12) = ETH_P_IP >> 8;
  frame.at(ETH_HLEN) = 0x45;
  frame.at(ETH_HLEN + 3) = 20;
  frame.at(ETH_HLEN + 8) = 1;
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = htons(ETH_P_IP);
  to.sll_ifindex = static_cast<int>(ifindex);
  return ::sendto(fd.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) > 0;
}

// A packet from one pair's peer to another's, which has to be in a namespace of its own.
bool redirects_to_peer(netlink::Socket& here, int away_fd, const Pair& sender) {
  auto away = netlink::Socket::open_in(away_fd);
  if (!away) return false;
  const auto target =
      make_pair(here, *away, {.host_name = "nkprobe2", .pod_name = "nkprobe3", .pod_netns_fd = away_fd});
  if (!target) return false;
  const UniqueFd program = load_peer_redirect(target->primary);
  const UniqueFd attached = link(program.get(), sender.primary, Hook::netkit_peer);
  return attached.valid() && received_packets(*away, target->peer) == 0 && send_something(sender.peer) &&
         received_packets(*away, target->peer) > 0;
}

void probe_netkit(netlink::Socket& socket, int away_fd, int program_fd, Features& features) {
  const auto pair = make_pair(socket, socket, {.host_name = "nkprobe0", .pod_name = "nkprobe1", .scrub_none = true});
  if (!pair) return;
  const UniqueFd primary = link_timed(program_fd, pair->primary, Hook::netkit_primary, features.quick_attach);
  const ExpediteRcu expedite;
  features.netkit = primary.valid() && link(program_fd, pair->primary, Hook::netkit_peer).valid();
  features.netkit_scrub = shows_scrub(socket, pair->primary);
  features.peer_redirect = redirects_to_peer(socket, away_fd, *pair);
  features.netkit = netlink::delete_link(socket, pair->primary).has_value() && features.netkit;
}

// A new network namespace for the thread.
UniqueFd enter_new_netns() {
  if (::unshare(CLONE_NEWNET) != 0) return {};
  return UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
}

// On a thread of its own: its namespaces end with it.
void probe_devices(Features& features) {
  const UniqueFd away = enter_new_netns();
  if (!away.valid() || !enter_new_netns().valid()) {
    features.untried = fail_errno(errno, "make a network namespace to try devices in").value().message;
    return;
  }
  const auto program = load_nothing();
  if (!program.valid()) return;
  auto socket = netlink::Socket::open();
  if (socket) probe_netkit(*socket, away.get(), program.get(), features);
  const ExpediteRcu expedite;
  features.tcx = link(program.get(), kLoopback, Hook::tcx_ingress).valid();
}

void name_missing(Features& features) {
  if (!features.untried.empty()) return features.missing.push_back(features.untried);
  if (!features.netkit) {
    features.missing.emplace_back("netkit: not in this kernel (CONFIG_NETKIT=y, Linux 6.7 or later); pods use veth");
  }
  if (!features.tcx) {
    features.missing.emplace_back(
        "tcx: not in this kernel (CONFIG_NET_XGRESS=y and CONFIG_BPF_SYSCALL=y, Linux 6.6 or later); the agent cannot "
        "work");
  }
  if (!features.ringbuf) {
    features.missing.emplace_back(
        "BPF ring buffer: not in this kernel (CONFIG_BPF_SYSCALL=y, Linux 5.8 or later); the agent cannot work");
  }
  if (features.netkit && !features.netkit_scrub) {
    features.missing.emplace_back(
        "netkit scrub: not in this kernel (Linux 6.13 or later); packet marks do not survive a pod's device");
  }
}

}  // namespace

Features probe_features() {
  Features features;
  std::thread([&features] { probe_devices(features); }).join();
  const UniqueFd ring(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "nk_probe", 0, 0, 4096, nullptr));
  features.ringbuf = ring.valid();
  name_missing(features);
  return features;
}

}  // namespace netkite::datapath
