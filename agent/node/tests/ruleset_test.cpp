// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "agent/node/masquerade.hpp"

namespace netkite::node {
namespace {

using testing::HasSubstr;
using testing::Not;

Cidr cidr(const std::string& text) { return Cidr::parse(text).value(); }

TEST(Ruleset, NamesEveryDirectDestinationOnce) {
  config::Options options;
  options.pools = {cidr("10.244.1.0/24")};
  options.peers = {{.name = "b", .addresses = {Ip::parse("192.0.2.2").value()}, .pod_ranges = {cidr("10.244.2.0/24")}}};
  options.masquerade.except = {cidr("172.16.0.0/12"), cidr("172.16.5.0/24"), cidr("10.244.2.0/24")};
  const auto ruleset = masquerade_ruleset(options);
  EXPECT_THAT(ruleset, HasSubstr("elements = { 10.244.1.0/24, 10.244.2.0/24, 172.16.0.0/12, 192.0.2.2/32 }"));
  EXPECT_THAT(ruleset,
              HasSubstr("ip saddr @pools4 ip daddr != @direct4 oifname != \"lo\" oifname != \"nk*\" masquerade"));
  EXPECT_THAT(ruleset, Not(HasSubstr("ip6")));
  EXPECT_TRUE(ruleset.starts_with("table inet netkite\ndelete table inet netkite\n"));
}

TEST(Ruleset, BesideProgramsTheStackHasPortsOfItsOwn) {
  config::Options options;
  options.pools = {cidr("10.244.1.0/24"), cidr("fd00::/64")};
  EXPECT_THAT(masquerade_ruleset(options), Not(HasSubstr("l4proto")));
  options.masquerade.mode = config::MasqueradeMode::bpf;
  const auto own = config::program_ports(options), stack = config::stack_ports(options);
  EXPECT_EQ(own.first, 61000);
  EXPECT_EQ(stack.last, 65535);
  EXPECT_EQ(own.last + 1, stack.first);
  const auto ports = std::to_string(stack.first) + "-65535\n";
  const auto ruleset = masquerade_ruleset(options);
  EXPECT_THAT(ruleset, HasSubstr("oifname != \"nk*\" meta l4proto { tcp, udp } masquerade to :" + ports));
  EXPECT_THAT(ruleset, HasSubstr("oifname != \"nk*\" masquerade\n"));
}

// Else a pod could speak to an overlay in its node's name.
TEST(Ruleset, NobodySpeaksToAnOverlayUnderTheNodesAddress) {
  config::Options options;
  options.pools = {cidr("10.244.1.0/24")};
  EXPECT_THAT(masquerade_ruleset(options), Not(HasSubstr("return")));
  options.routing = config::Routing::overlay;
  const auto ruleset = masquerade_ruleset(options);
  EXPECT_LT(ruleset.find("    udp dport 8472 return\n"), ruleset.find("masquerade\n"));
}

TEST(Ruleset, MissingKernelPartsAreNamedWithTheAlternative) {
  for (const std::string words :
       {"Error: Could not process rule: No such file or directory\ntable inet netkite {\n",
        "Error: Could not process rule: Operation not supported\n", "nfnetlink is not supported"}) {
    const auto error = masquerade_error(words);
    EXPECT_EQ(error.code, Code::unsupported) << words;
    EXPECT_THAT(error.message, HasSubstr("CONFIG_NFT_MASQ"));
    EXPECT_THAT(error.message, HasSubstr("nft_masq"));
    EXPECT_THAT(error.message, HasSubstr("masquerade.enabled"));
    EXPECT_THAT(error.message, Not(HasSubstr("\n")));
  }
  EXPECT_EQ(masquerade_error("Error: syntax error\nx").code, Code::io);
}

}  // namespace
}  // namespace netkite::node
