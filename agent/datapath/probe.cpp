// SPDX-License-Identifier: Apache-2.0
// Kernel features by trying them, in a network namespace that ends with the thread that tries.
#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sched.h>

#include <array>
#include <cerrno>
#include <thread>

#include "agent/datapath/datapath.hpp"
#include "agent/datapath/kernel_objects.hpp"
#include "common/netlink/link_netkit.hpp"

namespace netkite::datapath {
namespace {

constexpr const char* kName = "nkprobe0";
constexpr std::uint32_t kLoopback = 1;  // its index in every namespace

// A program that passes everything on.
UniqueFd load_nothing() {
  const std::array<bpf_insn, 2> code = {
      bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 0},
      bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  return UniqueFd(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "nk_probe", "Dual BSD/GPL", code.data(), code.size(), nullptr));
}

bool can_link(int program_fd, std::uint32_t ifindex, Hook hook) {
  const UniqueFd link(bpf_link_create(program_fd, static_cast<int>(ifindex), attach_type(hook), nullptr));
  return link.valid();
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

// A kernel that knows the attribute shows it; others ignore it.
bool shows_scrub(netlink::Socket& socket, std::uint32_t ifindex) {
  netlink::Message request(RTM_GETLINK, 0);
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(ifindex);
  if (nlmsg_append(request.raw(), &header, sizeof(header), NLMSG_ALIGNTO) < 0) return false;
  bool shown = false;
  const auto done = socket.query(
      request, "probe", [&](const nlmsghdr& answer) { shown = shown || has_attribute(answer, IFLA_NETKIT_SCRUB); });
  return done && shown;
}

void probe_netkit(netlink::Socket& socket, int program_fd, Features& features) {
  const netlink::NetkitPair pair{.host_name = kName, .pod_name = "nkprobe1", .scrub_none = true};
  if (!netlink::create_netkit(socket, pair)) return;
  if (const auto link = netlink::get_link(socket, std::string(kName))) {
    features.netkit =
        can_link(program_fd, link->index, Hook::netkit_primary) && can_link(program_fd, link->index, Hook::netkit_peer);
    features.netkit_scrub = shows_scrub(socket, link->index);
  }
  features.netkit = netlink::delete_link(socket, std::string(kName)).has_value() && features.netkit;
}

// On a thread of its own: its namespace ends with it.
void probe_devices(Features& features) {
  if (::unshare(CLONE_NEWNET) != 0) {
    features.untried = fail_errno(errno, "make a network namespace to try devices in").value().message;
    return;
  }
  const auto program = load_nothing();
  if (!program.valid()) return;
  features.tcx = can_link(program.get(), kLoopback, Hook::tcx_ingress);
  auto socket = netlink::Socket::open();
  if (socket) probe_netkit(*socket, program.get(), features);
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
  const ExpediteRcu expedite;  // attaching to and deleting the pair waits for grace periods
  std::thread([&features] { probe_devices(features); }).join();
  const UniqueFd ring(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "nk_probe", 0, 0, 4096, nullptr));
  features.ringbuf = ring.valid();
  name_missing(features);
  return features;
}

}  // namespace netkite::datapath
