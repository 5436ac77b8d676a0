// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/conntrack.hpp"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include "common/netlink/attributes.hpp"
#include "common/netlink/dump.hpp"

namespace netkite::netlink {
namespace {

struct Direction {
  Ip source{}, destination{};
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint8_t protocol = 0;
};

std::optional<std::uint16_t> port_of(const Attributes& attributes, int type) {
  const auto value = attributes.value<std::uint16_t>(type);
  return value ? std::optional(ntohs(*value)) : std::nullopt;
}

std::optional<Direction> direction_of(const Attributes& message, int type) {
  const auto tuple = message.nested(type);
  const auto addresses = tuple.nested(CTA_TUPLE_IP), transport = tuple.nested(CTA_TUPLE_PROTO);
  auto source = addresses.ip(CTA_IP_V4_SRC), destination = addresses.ip(CTA_IP_V4_DST);
  if (!source) source = addresses.ip(CTA_IP_V6_SRC), destination = addresses.ip(CTA_IP_V6_DST);
  const auto protocol = transport.value<std::uint8_t>(CTA_PROTO_NUM);
  if (!source || !destination || !protocol) return std::nullopt;
  auto from = port_of(transport, CTA_PROTO_SRC_PORT), to = port_of(transport, CTA_PROTO_DST_PORT);
  if (*protocol == IPPROTO_ICMP) from = to = port_of(transport, CTA_PROTO_ICMP_ID);
  if (*protocol == IPPROTO_ICMPV6) from = to = port_of(transport, CTA_PROTO_ICMPV6_ID);
  if (!from || !to) return std::nullopt;
  return Direction{.source = *source,
                   .destination = *destination,
                   .source_port = *from,
                   .destination_port = *to,
                   .protocol = *protocol};
}

bool is_open(const Attributes& message, std::uint8_t protocol) {
  if (protocol == IPPROTO_TCP) {
    const auto state =
        message.nested(CTA_PROTOINFO).nested(CTA_PROTOINFO_TCP).value<std::uint8_t>(CTA_PROTOINFO_TCP_STATE);
    return state == TCP_CONNTRACK_ESTABLISHED;
  }
  return (ntohl(message.value<std::uint32_t>(CTA_STATUS).value_or(0)) & IPS_SEEN_REPLY) != 0;
}

bool is_known(std::uint8_t protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

std::optional<Tracked> translated_in(const Attributes& message, const std::function<bool(const Ip&)>& wanted) {
  const auto there = direction_of(message, CTA_TUPLE_ORIG), back = direction_of(message, CTA_TUPLE_REPLY);
  if (!there || !back || !is_known(there->protocol) || !wanted(there->source)) return std::nullopt;
  const bool echo = there->protocol == IPPROTO_ICMP || there->protocol == IPPROTO_ICMPV6;
  const bool same_server = back->source == there->destination && (echo || back->source_port == there->destination_port);
  if (!same_server || back->destination == there->source) return std::nullopt;
  return Tracked{.source = there->source,
                 .destination = there->destination,
                 .source_port = there->source_port,
                 .destination_port = there->destination_port,
                 .seen_source = back->destination,
                 .seen_port = back->destination_port,
                 .protocol = there->protocol,
                 .open = is_open(message, there->protocol)};
}

}  // namespace

Result<std::vector<Tracked>> list_translated(Socket& socket, const std::function<bool(const Ip&)>& wanted) {
  const nfgenmsg header{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = 0};
  Message message((NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET, NLM_F_DUMP);
  message.header(header);
  return dump<Tracked>(socket, message, "list tracked connections",
                       [&wanted](const nlmsghdr& answer, std::vector<Tracked>& list) {
                         const auto parsed = parse<nfgenmsg>(answer);
                         if (!parsed) return;
                         if (auto found = translated_in(parsed->attributes, wanted)) list.push_back(*found);
                       });
}

}  // namespace netkite::netlink
