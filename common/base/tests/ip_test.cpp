// SPDX-License-Identifier: Apache-2.0
#include "common/base/ip.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace netkite {
namespace {

using ::testing::HasSubstr;

Ip ip(std::string_view text) { return Ip::parse(text).value(); }
Cidr cidr(std::string_view text) { return Cidr::parse(text).value(); }

TEST(Ip, PrintsWhatItParses) {
  const struct {
    const char* input;
    const char* printed;
    Family family;
  } cases[] = {
      {"0.0.0.0", "0.0.0.0", Family::v4},
      {"10.1.2.3", "10.1.2.3", Family::v4},
      {"255.255.255.255", "255.255.255.255", Family::v4},
      {"::", "::", Family::v6},
      {"fd00:0:0:0::1", "fd00::1", Family::v6},
      {"FE80::A", "fe80::a", Family::v6},
      {"::ffff:1.2.3.4", "::ffff:1.2.3.4", Family::v6},
  };
  for (const auto& each : cases) {
    const auto parsed = Ip::parse(each.input);
    ASSERT_TRUE(parsed) << each.input;
    EXPECT_EQ(parsed->to_string(), each.printed);
    EXPECT_EQ(parsed->family(), each.family);
    EXPECT_EQ(parsed->bytes().size() * 8, parsed->width());
  }
}

TEST(Ip, RefusesWhatIsNoAddress) {
  const std::string_view cases[] = {
      "",          "10.0.0",       "10.0.0.256", "10.0.0.1/24", " 10.0.0.1", "10.0.0.1 ",         "010.0.0.1",
      "1.2.3.4.5", "fe80::1%eth0", "::1::",      "12345::",     "hello",     {"10.0.0.1\0x", 10}, {"10.0.0.1\0", 9},
  };
  for (const auto text : cases) {
    const auto parsed = Ip::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Code::invalid);
  }
  const auto huge = Ip::parse(std::string(100000, '1'));
  ASSERT_FALSE(huge);
  EXPECT_LT(huge.error().message.size(), 120U) << "a message does not repeat huge input";
}

TEST(Ip, ComesFromFourOrSixteenBytes) {
  const std::array<std::byte, 16> bytes{std::byte{10}, std::byte{1}, std::byte{2}, std::byte{3}};
  EXPECT_EQ(Ip::from_bytes(std::span(bytes).first(4)).value(), ip("10.1.2.3"));
  EXPECT_EQ(Ip::from_bytes(bytes).value(), ip("a01:203::"));
  for (const std::size_t size : {0U, 3U, 5U, 15U}) EXPECT_FALSE(Ip::from_bytes(std::span(bytes).first(size)));
  EXPECT_EQ(Ip::v4(0x0a010203), ip("10.1.2.3"));
}

TEST(Ip, KnowsItsKinds) {
  const struct {
    const char* address;
    bool loopback, multicast, link_local, unspecified;
  } cases[] = {
      {"127.0.0.1", true, false, false, false},
      {"127.255.0.9", true, false, false, false},
      {"128.0.0.1", false, false, false, false},
      {"224.0.0.1", false, true, false, false},
      {"239.255.255.255", false, true, false, false},
      {"240.0.0.1", false, false, false, false},
      {"169.254.1.1", false, false, true, false},
      {"169.253.1.1", false, false, false, false},
      {"0.0.0.0", false, false, false, true},
      {"::1", true, false, false, false},
      {"::2", false, false, false, false},
      {"ff02::1", false, true, false, false},
      {"fe80::1", false, false, true, false},
      {"febf::1", false, false, true, false},
      {"fec0::1", false, false, false, false},
      {"::", false, false, false, true},
  };
  for (const auto& each : cases) {
    const Ip address = ip(each.address);
    EXPECT_EQ(address.is_loopback(), each.loopback) << each.address;
    EXPECT_EQ(address.is_multicast(), each.multicast) << each.address;
    EXPECT_EQ(address.is_link_local(), each.link_local) << each.address;
    EXPECT_EQ(address.is_unspecified(), each.unspecified) << each.address;
  }
}

TEST(Ip, OrdersByFamilyThenBytes) {
  EXPECT_LT(ip("9.0.0.0"), ip("10.0.0.0"));
  EXPECT_LT(ip("255.0.0.0"), ip("::"));
  EXPECT_NE(Ip(), ip("::")) << "all bytes zero in both";
}

TEST(Cidr, PrintsWhatItParses) {
  for (const char* text :
       {"0.0.0.0/0", "10.0.0.0/8", "10.1.2.0/25", "10.1.2.3/32", "::/0", "fd00:1::/64", "fd00::1/128"}) {
    const auto parsed = Cidr::parse(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->to_string(), text);
  }
}

TEST(Cidr, RefusalsSayWhatToWrite) {
  const struct {
    const char* input;
    const char* message;
  } cases[] = {
      {"10.0.0.0", "write 10.0.0.0/32"},    {"fd00::1", "write fd00::1/128"},
      {"10.1.2.3/24", "write 10.1.2.0/24"}, {"10.1.2.129/25", "write 10.1.2.128/25"},
      {"fd00::1/64", "write fd00::/64"},    {"10.0.0.0/33", "from 0 to 32"},
      {"fd00::/129", "from 0 to 128"},      {"10.0.0.0/", "from 0 to 32"},
      {"10.0.0.0/-1", "from 0 to 32"},      {"10.0.0.0/+8", "from 0 to 32"},
      {"10.0.0.0/08", "from 0 to 32"},      {"10.0.0.0/8 ", "from 0 to 32"},
      {"10.0.0.0/8/8", "from 0 to 32"},     {"10.0.0.0/4294967304", "from 0 to 32"},
      {"/8", "not an IP prefix"},           {"", "not an IP prefix"},
      {"pods/8", "not an IP prefix"},
  };
  for (const auto& each : cases) {
    const auto parsed = Cidr::parse(each.input);
    ASSERT_FALSE(parsed) << each.input;
    EXPECT_EQ(parsed.error().code, Code::invalid);
    EXPECT_THAT(parsed.error().message, HasSubstr(each.message));
    EXPECT_THAT(parsed.error().message, HasSubstr("\"" + std::string(each.input) + "\""));
  }
}

TEST(Cidr, OfClearsHostBits) {
  EXPECT_EQ(Cidr::of(ip("10.255.255.255"), 9).value(), cidr("10.128.0.0/9"));
  EXPECT_EQ(Cidr::of(ip("fd00::ffff"), 121).value(), cidr("fd00::ff80/121"));
  EXPECT_EQ(Cidr::of(ip("10.1.2.3"), 0).value(), cidr("0.0.0.0/0"));
  EXPECT_EQ(Cidr::host(ip("fd00::1")), cidr("fd00::1/128"));
  EXPECT_FALSE(Cidr::of(ip("10.0.0.0"), 33));
}

TEST(Cidr, Contains) {
  const struct {
    const char* outer;
    const char* inner;
    bool contains, overlaps;
  } cases[] = {
      {"10.0.0.0/8", "10.255.0.0/16", true, true},
      {"10.255.0.0/16", "10.0.0.0/8", false, true},
      {"10.0.0.0/24", "10.0.1.0/24", false, false},
      {"10.0.0.0/23", "10.0.1.0/24", true, true},
      {"0.0.0.0/0", "255.255.255.255/32", true, true},
      {"0.0.0.0/0", "::/0", false, false},
      {"::/0", "fd00::/8", true, true},
      {"fd00::/127", "fd00::2/128", false, false},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(cidr(each.outer).contains(cidr(each.inner)), each.contains) << each.outer << " " << each.inner;
    EXPECT_EQ(cidr(each.outer).overlaps(cidr(each.inner)), each.overlaps) << each.outer << " " << each.inner;
  }
}

TEST(Cidr, ContainsAddresses) {
  const struct {
    const char* prefix;
    const char* address;
    bool contains;
  } cases[] = {
      {"10.0.0.0/25", "10.0.0.127", true}, {"10.0.0.0/25", "10.0.0.128", false}, {"10.0.0.1/32", "10.0.0.1", true},
      {"10.0.0.1/32", "10.0.0.0", false},  {"0.0.0.0/0", "::", false},           {"fd00::/121", "fd00::7f", true},
      {"fd00::/121", "fd00::80", false},   {"fd00::/16", "fd01::", false},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(cidr(each.prefix).contains(ip(each.address)), each.contains) << each.prefix << " " << each.address;
  }
}

TEST(Cidr, CountsItsAddresses) {
  EXPECT_EQ(cidr("10.0.0.1/32").size(), 1U);
  EXPECT_EQ(cidr("10.0.0.0/24").size(), 256U);
  EXPECT_EQ(cidr("0.0.0.0/0").size(), 1ULL << 32U);
  EXPECT_EQ(cidr("fd00::/112").size(), 65536U);
  EXPECT_EQ(cidr("fd00::/65").size(), 1ULL << 63U);
  EXPECT_EQ(cidr("fd00::/64").size(), 1ULL << 63U);
  EXPECT_EQ(cidr("::/0").size(), 1ULL << 63U);
}

TEST(Cidr, NumbersItsAddresses) {
  const struct {
    const char* prefix;
    std::uint64_t offset;
    const char* address;
  } cases[] = {
      {"10.0.0.0/24", 0, "10.0.0.0"},
      {"10.0.0.0/24", 255, "10.0.0.255"},
      {"10.0.0.0/16", 258, "10.0.1.2"},
      {"10.0.0.128/25", 5, "10.0.0.133"},
      {"0.0.0.0/0", 0xfffffffe, "255.255.255.254"},
      {"fd00::/64", 0x10000, "fd00::1:0"},
      {"fd00::/16", (1ULL << 63U) - 1, "fd00::7fff:ffff:ffff:ffff"},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(cidr(each.prefix).at(each.offset), ip(each.address)) << each.address;
    EXPECT_EQ(cidr(each.prefix).offset_of(ip(each.address)), each.offset) << each.address;
  }
}

TEST(Mac, PrintsWhatItParses) {
  EXPECT_EQ(Mac::parse("02:11:aB:Cd:44:ff").value().to_string(), "02:11:ab:cd:44:ff");
  for (const char* text : {"", "02:11:22:33:44", "02:11:22:33:44:5", "02-11-22-33-44-55", "02:11:22:33:44:55:66",
                           "02:11:22:33:44:gg", "02:11:22:33:44:0x", "+2:11:22:33:44:55", "02:11:22:33:44 55"}) {
    const auto parsed = Mac::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Code::invalid);
  }
}

TEST(Mac, DerivedIsStableLocalAndUnicast) {
  const Mac first = Mac::derived("a");
  EXPECT_EQ(first, Mac::derived("a"));
  EXPECT_NE(first, Mac::derived("b"));
  for (int i = 0; i < 256; ++i) {
    const Mac mac = Mac::derived(std::to_string(i));
    EXPECT_EQ(mac.bytes[0] & 0x03, 0x02);
    EXPECT_FALSE(mac.is_multicast());
    EXPECT_FALSE(mac.is_zero());
  }
}

}  // namespace
}  // namespace netkite
