// SPDX-License-Identifier: Apache-2.0
#include "agent/node/uplink_address.hpp"

#include <gmock/gmock.h>

namespace netkite::node {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Ip ip(const std::string& text) { return Ip::parse(text).value(); }

netlink::Address address(std::uint32_t ifindex, const std::string& text, bool preferred = true) {
  return {.ifindex = ifindex, .address = ip(text), .prefix_length = 24, .preferred = preferred};
}

netlink::Route by_default(std::uint32_t ifindex, const std::string& gateway) {
  return {.destination = Cidr::parse(gateway.find(':') == std::string::npos ? "0.0.0.0/0" : "::/0").value(),
          .ifindex = ifindex,
          .gateway = ip(gateway)};
}

TEST(UplinkAddress, TheFirstOfEachFamilyOfTheDevice) {
  EXPECT_THAT(addresses_of_uplink(2,
                                  {address(3, "192.0.2.3"), address(2, "192.0.2.9", false), address(2, "192.0.2.1"),
                                   address(2, "192.0.2.2"), address(2, "2001:db8::1")},
                                  {}),
              ElementsAre(ip("192.0.2.1"), ip("2001:db8::1")));
  EXPECT_THAT(addresses_of_uplink(4, {address(3, "192.0.2.3")}, {}), IsEmpty());
}

TEST(UplinkAddress, TheOneBesideTheGateway) {
  const std::vector addresses = {address(2, "198.51.100.1"), address(2, "192.0.2.1"), address(2, "2001:db8::1")};
  EXPECT_THAT(addresses_of_uplink(2, addresses, {by_default(2, "192.0.2.254"), by_default(2, "fe80::1")}),
              ElementsAre(ip("192.0.2.1"), ip("2001:db8::1")));
  EXPECT_THAT(addresses_of_uplink(2, addresses, {by_default(3, "192.0.2.254")}),
              ElementsAre(ip("198.51.100.1"), ip("2001:db8::1")));
}

TEST(UplinkAddress, TheOneThatTheRouteNames) {
  auto route = by_default(2, "192.0.2.254");
  route.preferred_source = ip("198.51.100.1");
  EXPECT_THAT(addresses_of_uplink(2, {address(2, "192.0.2.1"), address(2, "198.51.100.1")}, {route}),
              ElementsAre(ip("198.51.100.1")));
}

}  // namespace
}  // namespace netkite::node
