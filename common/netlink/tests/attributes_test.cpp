// SPDX-License-Identifier: Apache-2.0
// Messages built and read back without a kernel.
#include "common/netlink/attributes.hpp"

#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>

#include <string>
#include <vector>

#include "common/netlink/link.hpp"

namespace netkite::netlink {
namespace {

const nlmsghdr& bytes_of(const Message& message) { return *nlmsg_hdr(message.raw()); }

ifinfomsg header_with_index(int index) {
  ifinfomsg header{};
  header.ifi_index = index;
  return header;
}

TEST(Attributes, ReadWhatMessagesPut) {
  const Mac mac = Mac::derived("m");
  const Ip v6 = Ip::parse("fd00::1").value();
  Message message(RTM_NEWLINK, 0);
  message.header(header_with_index(7));
  message.put_u8(1, 200);
  message.put_u32(2, 0xfffffffe);
  message.put_string(3, "abc");
  message.put_ip(4, v6);
  message.put_mac(5, mac);
  {
    const Message::Nest outer(message, 6);
    const Message::Nest inner(message, 7);
    message.put_u32(8, 9);
  }
  ASSERT_TRUE(message.complete());

  const auto parsed = parse<ifinfomsg>(bytes_of(message));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->header.ifi_index, 7);
  const Attributes& read = parsed->attributes;
  EXPECT_EQ(read.value<std::uint8_t>(1), 200);
  EXPECT_EQ(read.value<std::uint32_t>(2), 0xfffffffeU);
  EXPECT_EQ(read.value<std::uint32_t>(1), std::nullopt) << "another size is another thing";
  EXPECT_EQ(read.text(3), "abc");
  EXPECT_EQ(read.ip(4), v6);
  EXPECT_EQ(read.ip(5), std::nullopt);
  EXPECT_EQ(read.mac(5), mac);
  EXPECT_EQ(read.nested(6).nested(7).value<std::uint32_t>(8), 9U);
  EXPECT_EQ(read.value<std::uint32_t>(99), std::nullopt);
  EXPECT_EQ(read.text(99), "");
}

TEST(Attributes, StopAtWhatDoesNotFit) {
  const struct {
    const char* description;
    std::vector<std::uint8_t> bytes;
  } cases[] = {
      {"nothing", {}},
      {"half a header", {8, 0}},
      {"length below the header's", {3, 0, 1, 0, 0, 0, 0, 0}},
      {"length zero", {0, 0, 1, 0, 0, 0, 0, 0}},
      {"length beyond the end", {12, 0, 1, 0, 5, 0, 0, 0}},
  };
  for (const auto& each : cases) {
    const Attributes read(std::as_bytes(std::span(each.bytes)));
    EXPECT_EQ(read.find(1), std::nullopt) << each.description;
  }
  const std::vector<std::uint8_t> unterminated{7, 0, 1, 0, 'a', 'b', 'c'};
  EXPECT_EQ(Attributes(std::as_bytes(std::span(unterminated))).text(1), "abc");
}

TEST(Message, RemembersWhatDoesNotFit) {
  Message message(RTM_NEWLINK, 0);
  message.header(ifinfomsg{});
  message.put_string(IFLA_IFALIAS, std::string(100000, 'a'));
  EXPECT_FALSE(message.complete());
  {
    const Message::Nest nest(message, IFLA_LINKINFO);
  }
  EXPECT_FALSE(message.complete()) << "for good";
}

TEST(ParseLink, TakesLinkMessagesOnly) {
  for (const int type : {RTM_NEWLINK, RTM_DELLINK, RTM_NEWROUTE}) {
    Message message(type, 0);
    message.header(header_with_index(7));
    message.put_string(IFLA_IFNAME, "eth0");
    const auto link = parse_link(bytes_of(message));
    ASSERT_EQ(link.has_value(), type != RTM_NEWROUTE);
    if (!link) continue;
    EXPECT_EQ(link->name, "eth0");
    EXPECT_EQ(link->index, 7U);
  }
  nlmsghdr empty{};
  empty.nlmsg_len = sizeof(empty);
  empty.nlmsg_type = RTM_NEWLINK;
  EXPECT_EQ(parse_link(empty), std::nullopt);
}

}  // namespace
}  // namespace netkite::netlink
