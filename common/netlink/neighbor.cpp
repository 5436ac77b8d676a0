// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/neighbor.hpp"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

namespace netkite::netlink {

Result<void> add_permanent_neighbor(Socket& socket, std::uint32_t ifindex, const Ip& address, const Mac& mac) {
  ndmsg header{};
  header.ndm_family = static_cast<std::uint8_t>(address.af());
  header.ndm_ifindex = static_cast<int>(ifindex);
  header.ndm_state = NUD_PERMANENT;
  Message message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  message.header(header);
  message.put_ip(NDA_DST, address);
  message.put_mac(NDA_LLADDR, mac);
  return socket.request(message, "add neighbour " + address.to_string() + " on device " + std::to_string(ifindex));
}

}  // namespace netkite::netlink
