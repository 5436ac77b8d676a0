// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/link_pair.hpp"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

namespace netkite::netlink {
namespace {

void put_end(Message& message, const PairEnd& end) {
  message.header(ifinfomsg{});
  message.put_string(IFLA_IFNAME, end.name);
  message.put_u32(IFLA_MTU, end.mtu);
  if (end.gso_max_size != 0) message.put_u32(IFLA_GSO_MAX_SIZE, end.gso_max_size);
  if (end.gro_max_size != 0) message.put_u32(IFLA_GRO_MAX_SIZE, end.gro_max_size);
  if (end.queues != 0) {
    message.put_u32(IFLA_NUM_TX_QUEUES, end.queues);
    message.put_u32(IFLA_NUM_RX_QUEUES, end.queues);
  }
  if (end.mac) message.put_mac(IFLA_ADDRESS, *end.mac);
  if (end.netns_fd >= 0) message.put_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(end.netns_fd));
}

}  // namespace

Result<void> create_pair(Socket& socket, const PairRequest& request) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  put_end(message, request.host);
  {
    const Message::Nest info(message, IFLA_LINKINFO);
    message.put_string(IFLA_INFO_KIND, request.kind);
    const Message::Nest data(message, IFLA_INFO_DATA);
    if (request.kind_attributes) request.kind_attributes(message);
    const Message::Nest peer(message, request.peer_attribute);
    put_end(message, request.pod);
  }
  return socket.request(message, "create " + request.kind + " pair " + request.host.name + ", " + request.pod.name);
}

}  // namespace netkite::netlink
