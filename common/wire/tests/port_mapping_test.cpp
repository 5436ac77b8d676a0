// SPDX-License-Identifier: Apache-2.0
#include "common/wire/port_mapping.hpp"

#include <gtest/gtest.h>

namespace netkite::wire {
namespace {

TEST(PortMapping, TextAndBack) {
  for (const char* text : {"8080:80/tcp", "1:65535/udp", "192.0.2.1:8080:80/sctp", "[2001:db8::1]:53:5353/udp",
                           "[::]:53:5353/udp", "0.0.0.0:1:1/tcp"}) {
    const auto mapping = parse_port_mapping(text);
    ASSERT_TRUE(mapping) << text;
    EXPECT_EQ(to_string(*mapping), text);
  }
  const PortMapping expected{
      .host_ip = Ip::parse("2001:db8::1").value(), .host_port = 8080, .container_port = 80, .protocol = Transport::udp};
  EXPECT_EQ(parse_port_mapping("[2001:db8::1]:8080:80/udp"), expected);
}

TEST(PortMapping, OtherTextIsRefused) {
  for (const char* text : {"",
                           "/",
                           "80",
                           "80/tcp",
                           "80:80",
                           "80:80/",
                           "80:80/TCP",
                           "80:80/icmp",
                           "0:80/tcp",
                           "80:0/tcp",
                           "65536:80/tcp",
                           "80:65536/tcp",
                           "-1:80/tcp",
                           "+1:80/tcp",
                           " 80:80/tcp",
                           "80:80 /tcp",
                           "x:80:80/tcp",
                           ":80:80/tcp",
                           "192.0.2:80:80/tcp",
                           "192.0.2.1::80/tcp",
                           "2001:db8::1:80:80/tcp",
                           "[192.0.2.1]:80:80/tcp",
                           "[]:80:80/tcp",
                           "[:80:80/tcp",
                           "192.0.2.1:80:/tcp",
                           "192.0.2.1:80:80/tcp/tcp"}) {
    EXPECT_FALSE(parse_port_mapping(text)) << text;
  }
}

}  // namespace
}  // namespace netkite::wire
