// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/qdisc.hpp"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

namespace netkite::netlink {
namespace {

constexpr std::uint32_t kMajor = 0xffff0000U;  // TC_H_CLSACT's
constexpr std::uint32_t kClsact = kMajor | 0xfff1U;
constexpr std::uint32_t kIngress = kMajor | TC_H_MIN_INGRESS;
constexpr std::uint32_t kEgress = kMajor | TC_H_MIN_EGRESS;
constexpr std::uint32_t kPreference = 1U << 16U;
constexpr std::uint32_t kHandle = 1;

}  // namespace

Result<void> add_clsact(Socket& socket, std::uint32_t ifindex) {
  tcmsg header{};
  header.tcm_ifindex = static_cast<int>(ifindex);
  header.tcm_handle = kMajor;
  header.tcm_parent = kClsact;
  Message message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL);
  message.header(header);
  message.put_string(TCA_KIND, "clsact");
  auto added = socket.request(message, "add clsact qdisc to device " + std::to_string(ifindex));
  if (!added && added.error().code == Code::exists) return {};
  return added;
}

Result<void> add_bpf_filter(Socket& socket, std::uint32_t ifindex, bool ingress, int prog_fd, const std::string& name) {
  tcmsg header{};
  header.tcm_ifindex = static_cast<int>(ifindex);
  header.tcm_handle = kHandle;
  header.tcm_parent = ingress ? kIngress : kEgress;
  header.tcm_info = kPreference | htons(ETH_P_ALL);
  Message message(RTM_NEWTFILTER, NLM_F_CREATE);
  message.header(header);
  message.put_string(TCA_KIND, "bpf");
  {
    const Message::Nest options(message, TCA_OPTIONS);
    message.put_u32(TCA_BPF_FD, static_cast<std::uint32_t>(prog_fd));
    message.put_string(TCA_BPF_NAME, name);
    message.put_u32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
  }
  return socket.request(message, "add BPF filter " + name + " to device " + std::to_string(ifindex));
}

}  // namespace netkite::netlink
