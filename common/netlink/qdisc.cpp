// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/qdisc.hpp"

#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "common/netlink/attributes.hpp"

namespace netkite::netlink {
namespace {

tcmsg header_of(std::uint32_t ifindex, std::uint32_t parent, std::uint32_t handle) {
  tcmsg header{};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = static_cast<int>(ifindex);
  header.tcm_parent = parent;
  header.tcm_handle = handle;
  return header;
}

Message make(const char* kind, std::uint32_t ifindex, std::uint32_t parent, std::uint32_t handle) {
  Message message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE);
  message.header(header_of(ifindex, parent, handle));
  message.put_string(TCA_KIND, kind);
  return message;
}

std::string on_device(std::string_view action, std::uint32_t ifindex) {
  return std::string(action) + " on device " + std::to_string(ifindex);
}

// A kind that the kernel lacks is "no such file" to it.
Result<void> request_kind(Socket& socket, const Message& message, const std::string& what, std::string_view option) {
  auto made = socket.request(message, what);
  if (made || made.error().os_error != ENOENT) return made;
  return fail(Code::unsupported, what + ": the kernel lacks it (" + std::string(option) + ")");
}

std::optional<Qdisc> parse_qdisc(const nlmsghdr& message) {
  const auto parsed = parse<tcmsg>(message);
  if (message.nlmsg_type != RTM_NEWQDISC || !parsed) return std::nullopt;
  Qdisc qdisc{.ifindex = static_cast<std::uint32_t>(parsed->header.tcm_ifindex),
              .kind = parsed->attributes.text(TCA_KIND),
              .handle = parsed->header.tcm_handle,
              .parent = parsed->header.tcm_parent};
  if (qdisc.kind != "tbf") return qdisc;
  const auto options = parsed->attributes.nested(TCA_OPTIONS);
  if (const auto parameters = options.value<tc_tbf_qopt>(TCA_TBF_PARMS)) {
    qdisc.rate = parameters->rate.rate;
    qdisc.limit = parameters->limit;
  }
  qdisc.rate = options.value<std::uint64_t>(TCA_TBF_RATE64).value_or(qdisc.rate);
  return qdisc;
}

}  // namespace

Result<std::vector<Qdisc>> list_qdiscs(Socket& socket) {
  Message message(RTM_GETQDISC, NLM_F_DUMP);
  message.header(header_of(0, 0, 0));
  std::vector<Qdisc> qdiscs;
  auto done = socket.query(message, "list queueing disciplines", [&](const nlmsghdr& answer) {
    if (auto qdisc = parse_qdisc(answer)) qdiscs.push_back(*std::move(qdisc));
  });
  if (!done) return tl::make_unexpected(done.error());
  return qdiscs;
}

Result<Qdisc> get_root_qdisc(Socket& socket, std::uint32_t ifindex) {
  Message message(RTM_GETQDISC, NLM_F_ECHO);  // else only those who listen for changes get the answer
  message.header(header_of(ifindex, TC_H_ROOT, 0));
  const auto what = on_device("get the queueing discipline", ifindex);
  std::optional<Qdisc> found;
  auto done = socket.query(message, what, [&](const nlmsghdr& answer) { found = parse_qdisc(answer); });
  if (!done && done.error().os_error != EINVAL) return tl::make_unexpected(done.error());
  if (!found) return fail(Code::not_found, what + ": there is none");
  return *std::move(found);
}

Result<void> probe_fq(Socket& socket, std::uint32_t ifindex) {
  // Under a number that nobody has, and with an option that is too short for fq to come into being.
  auto message = make("fq", ifindex, TC_H_ROOT, kQdiscHandle + 0x10000);
  {
    const Message::Nest options(message, TCA_OPTIONS);
    message.put_u8(TCA_FQ_PLIMIT, 0);
  }
  auto answer = request_kind(socket, message, on_device("queueing discipline fq", ifindex), "CONFIG_NET_SCH_FQ");
  return !answer && answer.error().code == Code::unsupported ? answer : Result<void>();
}

Result<void> set_fq(Socket& socket, std::uint32_t ifindex, std::uint32_t parent) {
  // The defaults are those of a host's own sockets. What a pod sends may wait in one flow for as long as the programs
  // let it, and packets of different pods should not meet in one.
  constexpr std::uint32_t kPackets = 32768, kPacketsOfFlow = 8192, kFlowsWithoutSocket = 0xffff;
  auto message = make("fq", ifindex, parent, parent == TC_H_ROOT ? kQdiscHandle : 0);
  {
    const Message::Nest options(message, TCA_OPTIONS);
    message.put_u32(TCA_FQ_PLIMIT, kPackets);
    message.put_u32(TCA_FQ_FLOW_PLIMIT, kPacketsOfFlow);
    message.put_u32(TCA_FQ_ORPHAN_MASK, kFlowsWithoutSocket);
  }
  return request_kind(socket, message, on_device("queueing discipline fq", ifindex), "CONFIG_NET_SCH_FQ");
}

Result<void> set_mq(Socket& socket, std::uint32_t ifindex) {
  return socket.request(make("mq", ifindex, TC_H_ROOT, kQdiscHandle), on_device("queueing discipline mq", ifindex));
}

Result<void> set_tbf(Socket& socket, std::uint32_t ifindex, const Tbf& tbf) {
  constexpr std::uint64_t kMostRate32 = std::numeric_limits<std::uint32_t>::max();
  tc_tbf_qopt parameters{};
  parameters.rate.linklayer = TC_LINKLAYER_ETHERNET;
  parameters.rate.rate = static_cast<std::uint32_t>(std::min(tbf.rate, kMostRate32));
  parameters.limit = tbf.limit;
  auto message = make("tbf", ifindex, TC_H_ROOT, kQdiscHandle);
  {
    const Message::Nest options(message, TCA_OPTIONS);
    message.put(TCA_TBF_PARMS, &parameters, sizeof(parameters));
    message.put_u32(TCA_TBF_BURST, tbf.burst);
    if (tbf.rate >= kMostRate32) message.put(TCA_TBF_RATE64, &tbf.rate, sizeof(tbf.rate));
  }
  return request_kind(socket, message, on_device("queueing discipline tbf", ifindex), "CONFIG_NET_SCH_TBF");
}

Result<void> delete_our_qdisc(Socket& socket, std::uint32_t ifindex) {
  Message message(RTM_DELQDISC, 0);
  message.header(header_of(ifindex, TC_H_ROOT, kQdiscHandle));
  auto deleted = socket.request(message, on_device("delete the queueing discipline", ifindex));
  // Another number, none that may be deleted, or no device: ours is not there.
  if (!deleted && (deleted.error().os_error == EINVAL || deleted.error().code == Code::not_found)) return {};
  return deleted;
}

}  // namespace netkite::netlink
