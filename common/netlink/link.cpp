// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/link.hpp"

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "common/netlink/attributes.hpp"
#include "common/netlink/dump.hpp"
#include "common/netlink/link_netkit.hpp"

namespace netkite::netlink {
namespace {

ifinfomsg header_for(std::uint32_t index) {
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(index);
  return header;
}

// Without the address families' statistics an answer is shorter by half, and nobody here reads them.
void skip_statistics(Message& message) { message.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS); }

Result<Link> get(Socket& socket, const Message& message, const std::string& what) {
  std::optional<Link> link;
  auto done = socket.query(message, what, [&link](const nlmsghdr& answer) { link = parse_link(answer); });
  if (!done) return tl::make_unexpected(std::move(done.error()));
  if (!link) return fail(Code::io, what + ": no answer from the kernel");
  return *std::move(link);
}

Result<void> gone_is_fine(Result<void> removed) {
  if (!removed && removed.error().code == Code::not_found) return {};
  return removed;
}

Message deletion(const std::string& name) {
  Message message(RTM_DELLINK, 0);
  message.header(header_for(0));
  message.put_string(IFLA_IFNAME, name);
  return message;
}

void parse_netkit(const Attributes& data, Link& link) {
  link.netkit_mode = data.value<std::uint32_t>(IFLA_NETKIT_MODE);
  link.netkit_policy = data.value<std::uint32_t>(IFLA_NETKIT_POLICY);
  link.netkit_peer_policy = data.value<std::uint32_t>(IFLA_NETKIT_PEER_POLICY);
  link.netkit_scrub = data.value<std::uint32_t>(IFLA_NETKIT_SCRUB);
  link.netkit_headroom = data.value<std::uint16_t>(kNetkitHeadroom);
  link.netkit_primary = data.value<std::uint8_t>(IFLA_NETKIT_PRIMARY).value_or(0) != 0;
}

void parse_vxlan(const Attributes& data, Link& link) {
  if (const auto port = data.value<std::uint16_t>(IFLA_VXLAN_PORT)) link.vxlan_port = ntohs(*port);
  link.vxlan_external = data.value<std::uint8_t>(IFLA_VXLAN_COLLECT_METADATA).value_or(0) != 0;
}

Result<void> set_flag_up(Socket& socket, std::uint32_t index, bool up) {
  Message message(RTM_NEWLINK, 0);
  ifinfomsg header = header_for(index);
  header.ifi_change = IFF_UP;
  if (up) header.ifi_flags = IFF_UP;
  message.header(header);
  return socket.request(message, std::string(up ? "bring up" : "take down") + " device " + std::to_string(index));
}

Result<void> set_properties(Socket& socket, std::uint32_t index, const LinkChange& change) {
  Message message(RTM_NEWLINK, 0);
  message.header(header_for(index));
  if (change.mtu) message.put_u32(IFLA_MTU, *change.mtu);
  if (change.alias) message.put(IFLA_IFALIAS, change.alias->data(), change.alias->size());
  if (change.mac) message.put_mac(IFLA_ADDRESS, *change.mac);
  if (change.gso_max_size) message.put_u32(IFLA_GSO_MAX_SIZE, *change.gso_max_size);
  if (change.gro_max_size) message.put_u32(IFLA_GRO_MAX_SIZE, *change.gro_max_size);
  if (change.ipv6_addr_gen_none) {
    const Message::Nest families(message, IFLA_AF_SPEC);
    const Message::Nest inet6(message, AF_INET6);
    const auto mode = *change.ipv6_addr_gen_none ? IN6_ADDR_GEN_MODE_NONE : IN6_ADDR_GEN_MODE_EUI64;
    message.put_u8(IFLA_INET6_ADDR_GEN_MODE, mode);
  }
  return socket.request(message, "change device " + std::to_string(index));
}

}  // namespace

std::optional<Link> parse_link(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWLINK && message.nlmsg_type != RTM_DELLINK) return std::nullopt;
  const auto parsed = parse<ifinfomsg>(message);
  if (!parsed) return std::nullopt;
  const auto& [header, attributes] = *parsed;
  const Attributes info = attributes.nested(IFLA_LINKINFO);
  Link link{
      .index = static_cast<std::uint32_t>(header.ifi_index),
      .name = attributes.text(IFLA_IFNAME),
      .kind = info.text(IFLA_INFO_KIND),
      .alias = attributes.text(IFLA_IFALIAS),
      .mtu = attributes.value<std::uint32_t>(IFLA_MTU).value_or(0),
      .up = (header.ifi_flags & IFF_UP) != 0,
      .running = (header.ifi_flags & IFF_RUNNING) != 0,
      .loopback = (header.ifi_flags & IFF_LOOPBACK) != 0,
      .master = attributes.value<std::uint32_t>(IFLA_MASTER).value_or(0),
      .peer_index = attributes.value<std::uint32_t>(IFLA_LINK).value_or(0),
      .mac = attributes.mac(IFLA_ADDRESS),
      .gso_max_size = attributes.value<std::uint32_t>(IFLA_GSO_MAX_SIZE).value_or(0),
      .gro_max_size = attributes.value<std::uint32_t>(IFLA_GRO_MAX_SIZE).value_or(0),
  };
  if (link.kind == "netkit") parse_netkit(info.nested(IFLA_INFO_DATA), link);
  if (link.kind == "vxlan") parse_vxlan(info.nested(IFLA_INFO_DATA), link);
  return link;
}

Result<Link> get_link(Socket& socket, const std::string& name) {
  Message message(RTM_GETLINK, 0);
  message.header(header_for(0));
  message.put_string(IFLA_IFNAME, name);
  skip_statistics(message);
  return get(socket, message, "get device " + name);
}

Result<Link> get_link(Socket& socket, std::uint32_t index) {
  Message message(RTM_GETLINK, 0);
  message.header(header_for(index));
  skip_statistics(message);
  return get(socket, message, "get device " + std::to_string(index));
}

Result<std::vector<Link>> list_links(Socket& socket) {
  Message message(RTM_GETLINK, NLM_F_DUMP);
  message.header(header_for(0));
  skip_statistics(message);
  return dump<Link>(socket, message, "list devices", [](const nlmsghdr& answer, std::vector<Link>& links) {
    if (auto link = parse_link(answer)) links.push_back(*std::move(link));
  });
}

// In the order in which the kernel needs it: some properties change only while the device is down, and an address
// generation mode set together with "up" would come too late to prevent the link-local address.
Result<void> change_link(Socket& socket, std::uint32_t index, const LinkChange& change) {
  const bool properties = change.mtu || change.alias || change.mac || change.gso_max_size || change.gro_max_size ||
                          change.ipv6_addr_gen_none;
  Result<void> done;
  if (change.up == false) done = set_flag_up(socket, index, false);
  if (done && properties) done = set_properties(socket, index, change);
  if (done && change.up == true) done = set_flag_up(socket, index, true);
  return done;
}

Result<void> delete_link(Socket& socket, const std::string& name) {
  return gone_is_fine(socket.request(deletion(name), "delete device " + name));
}

Result<void> delete_link_early(Socket& socket, const std::string& name) {
  return gone_is_fine(socket.request_early(deletion(name), "delete device " + name));
}

Result<void> delete_link(Socket& socket, std::uint32_t index) {
  Message message(RTM_DELLINK, 0);
  message.header(header_for(index));
  return gone_is_fine(socket.request(message, "delete device " + std::to_string(index)));
}

}  // namespace netkite::netlink
