// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/address.hpp"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "common/netlink/attributes.hpp"
#include "common/netlink/dump.hpp"

namespace netkite::netlink {

Result<void> add_address(Socket& socket, const Address& address) {
  ifaddrmsg header{};
  header.ifa_family = static_cast<std::uint8_t>(address.address.af());
  header.ifa_prefixlen = static_cast<std::uint8_t>(address.prefix_length);
  header.ifa_index = address.ifindex;
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  message.header(header);
  message.put_ip(IFA_LOCAL, address.address);
  message.put_ip(IFA_ADDRESS, address.address);
  if (address.address.is_v6()) message.put_u32(IFA_FLAGS, IFA_F_NODAD);
  return socket.request(message, "add address " + address.address.to_string() + "/" +
                                     std::to_string(address.prefix_length) + " to device " +
                                     std::to_string(address.ifindex));
}

Result<std::vector<Address>> list_addresses(Socket& socket, std::uint32_t ifindex) {
  ifaddrmsg header{};
  header.ifa_index = ifindex;
  Message message(RTM_GETADDR, NLM_F_DUMP);
  message.header(header);
  return dump<Address>(socket, message, "list addresses", [](const nlmsghdr& answer, std::vector<Address>& list) {
    const auto parsed = parse<ifaddrmsg>(answer);
    if (answer.nlmsg_type != RTM_NEWADDR || !parsed) return;
    // On point-to-point devices IFA_ADDRESS is the other side's.
    auto ip = parsed->attributes.ip(IFA_LOCAL);
    if (!ip) ip = parsed->attributes.ip(IFA_ADDRESS);
    if (!ip) return;
    // The header has room for the older flags only, of which these are.
    constexpr unsigned kOthers = IFA_F_SECONDARY | IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TENTATIVE;
    const auto& is = parsed->header;
    list.push_back({.ifindex = is.ifa_index,
                    .address = *ip,
                    .prefix_length = is.ifa_prefixlen,
                    .preferred = is.ifa_scope == RT_SCOPE_UNIVERSE && (is.ifa_flags & kOthers) == 0});
  });
}

}  // namespace netkite::netlink
