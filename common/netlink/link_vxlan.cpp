// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/link_vxlan.hpp"

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <cerrno>

namespace netkite::netlink {

Result<void> create_vxlan(Socket& socket, const VxlanDevice& device) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  ifinfomsg header{};
  header.ifi_flags = IFF_NOARP;
  header.ifi_change = IFF_NOARP | IFF_MULTICAST;
  message.header(header);
  message.put_string(IFLA_IFNAME, device.name);
  message.put_u32(IFLA_MTU, device.mtu);
  message.put_mac(IFLA_ADDRESS, device.mac);
  {
    const Message::Nest info(message, IFLA_LINKINFO);
    message.put_string(IFLA_INFO_KIND, "vxlan");
    const Message::Nest data(message, IFLA_INFO_DATA);
    const std::uint16_t port = htons(device.port);
    message.put(IFLA_VXLAN_PORT, &port, sizeof(port));
    message.put_u8(IFLA_VXLAN_COLLECT_METADATA, 1);
    message.put_u8(IFLA_VXLAN_LEARNING, 0);
  }
  auto created = socket.request(message, "create VXLAN device " + device.name);
  if (!created && created.error().os_error == EOPNOTSUPP) {
    return fail(Code::unsupported, "this kernel has no VXLAN devices (CONFIG_VXLAN)");
  }
  return created;
}

}  // namespace netkite::netlink
