// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "agent/node/masquerade.hpp"

namespace netkite::node {
namespace {

struct Kind {
  Family family;
  const char *type, *pool_set, *direct_set, *match;
};
constexpr Kind kKinds[] = {
    {Family::v4, "ipv4_addr", "pools4", "direct4",
     "    ip saddr @pools4 ip daddr != @direct4 oifname != \"lo\" oifname != \"nk*\""},
    {Family::v6, "ipv6_addr", "pools6", "direct6",
     "    ip6 saddr @pools6 ip6 daddr != @direct6 oifname != \"lo\" oifname != \"nk*\""},
};

// What programs do not translate the stack does, with ports that are none of theirs.
std::string rules_of(const Kind& kind, const config::Options& options) {
  const std::string match(kind.match);
  if (!config::masks_in_bpf(options)) return match + " masquerade\n";
  const auto ports = config::stack_ports(options);
  return match + " meta l4proto { tcp, udp } masquerade to :" + std::to_string(ports.first) + "-" +
         std::to_string(ports.last) + "\n" + match + " masquerade\n";
}

// The prefixes of one family, without those that another one covers: an interval set takes no overlaps.
std::vector<Cidr> distinct(std::vector<Cidr> prefixes, Family family) {
  std::erase_if(prefixes, [family](const Cidr& prefix) { return prefix.family() != family; });
  // In this order a prefix comes right before those that it covers.
  std::ranges::sort(prefixes);
  std::vector<Cidr> kept;
  for (const auto& prefix : prefixes) {
    if (kept.empty() || !kept.back().contains(prefix)) kept.push_back(prefix);
  }
  return kept;
}

std::string set_definition(const std::string& name, const std::string& type, const std::vector<Cidr>& prefixes) {
  std::string elements;
  for (const auto& prefix : prefixes) elements += (elements.empty() ? "" : ", ") + prefix.to_string();
  return "  set " + name + " {\n    type " + type + "\n    flags interval\n    elements = { " + elements + " }\n  }\n";
}

}  // namespace

std::vector<Cidr> direct_destinations(const config::Options& options) {
  std::vector<Cidr> direct = options.pools;
  for (const auto& peer : options.peers) {
    direct.insert(direct.end(), peer.pod_ranges.begin(), peer.pod_ranges.end());
    for (const auto& address : peer.addresses) direct.push_back(Cidr::host(address));
  }
  direct.insert(direct.end(), options.masquerade.except.begin(), options.masquerade.except.end());
  return direct;
}

std::string masquerade_ruleset(const config::Options& options) {
  std::string sets;
  std::string rules;
  // Other nodes believe what comes to their overlay from a node's address.
  if (config::has_overlay(options)) rules += "    udp dport " + std::to_string(options.overlay.port) + " return\n";
  const auto direct = direct_destinations(options);
  for (const auto& kind : kKinds) {
    const auto pools = distinct(options.pools, kind.family);
    if (pools.empty()) continue;
    sets += set_definition(kind.pool_set, kind.type, pools);
    sets += set_definition(kind.direct_set, kind.type, distinct(direct, kind.family));
    rules += rules_of(kind, options);
  }
  return "table inet netkite\ndelete table inet netkite\ntable inet netkite {\n" + sets +
         "  chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n" + rules + "  }\n}\n";
}

Error masquerade_error(const std::string& nft_output) {
  // nft repeats the command below its message: the first line says it all.
  std::string reason = nft_output.substr(0, nft_output.find('\n'));
  constexpr const char* kMissing[] = {"No such file", "not supported", "cache initialization failed"};
  const bool missing =
      std::ranges::any_of(kMissing, [&](const char* word) { return reason.find(word) != std::string::npos; });
  if (!missing) return {.code = Code::io, .os_error = 0, .message = "nftables table inet netkite: " + reason};
  return {
      .code = Code::unsupported,
      .os_error = 0,
      .message = "nftables table inet netkite: " + reason +
                 ": masquerade needs a kernel with CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT and CONFIG_NFT_MASQ (module "
                 "nft_masq); without it set masquerade.enabled to false"};
}

}  // namespace netkite::node
