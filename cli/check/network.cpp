// SPDX-License-Identifier: Apache-2.0
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <sys/socket.h>

#include <cerrno>
#include <fstream>
#include <memory>

#include "cli/check/check.hpp"
#include "cli/check/scratch.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::cli {
namespace {

std::string read_word(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

Finding forwarding_finding(const std::string& item, const std::string& path, const std::string& key) {
  const std::string value = read_word(path);
  if (value == "1") return good(item, "on");
  if (value.empty()) {
    return caution(item, "this kernel has no " + key, "CONFIG_INET, CONFIG_IPV6");
  }
  return caution(item, "off: pods do not reach beyond the node",
                 "the agent turns it on (manage_forwarding), or: sysctl -w " + key + "=1");
}

// accept_ra is 1 by default and matters only where nothing else gives an IPv6 default route.
Finding router_advertisement_finding(const std::vector<std::string>& uplinks, bool default6) {
  if (uplinks.empty()) return good("accept-ra", "no uplink");
  for (const auto& uplink : uplinks) {
    const std::string folder = "/proc/sys/net/ipv6/conf/" + uplink + "/";
    if (default6 || read_word(folder + "accept_ra") != "1" || read_word(folder + "forwarding") != "1") continue;
    return caution(
        "accept-ra",
        "no IPv6 default route: " + uplink + " forwards and has accept_ra 1, so router advertisements give none",
        "sysctl -w net.ipv6.conf." + uplink + ".accept_ra=2, where IPv6 is to reach the outside");
  }
  return good("accept-ra", default6 ? "there is an IPv6 default route" : "no conflict with forwarding");
}

Result<void> try_masquerade() {
  return in_scratch_netns([]() -> Result<void> {
    // libnftables ends the process when this fails, so it goes first.
    const UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    if (!socket.valid()) return fail_errno(errno, "open a netfilter socket");
    const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context(nft_ctx_new(NFT_CTX_DEFAULT), &nft_ctx_free);
    if (context == nullptr) return fail(Code::io, "nftables: no context");
    nft_ctx_buffer_output(context.get());
    nft_ctx_buffer_error(context.get());
    constexpr const char* kRules =
        "table inet probe {\n chain c {\n type nat hook postrouting priority srcnat\n oifname lo masquerade\n }\n}\n";
    if (nft_run_cmd_from_buffer(context.get(), kRules) == 0) return {};
    const std::string words = nft_ctx_get_error_buffer(context.get());
    return fail(Code::unsupported, words.substr(0, words.find('\n')));
  });
}

Finding masquerade_finding() {
  const auto tried = try_masquerade();
  if (tried) return good("masquerade", "nftables masquerade works");
  if (tried.error().code == Code::denied) {
    return caution("masquerade", "cannot tell: " + tried.error().message, "run as root");
  }
  return caution("masquerade", "not available: " + tried.error().message,
                 "a kernel with CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT and CONFIG_NFT_MASQ (module nft_masq), or "
                 "masquerade.enabled false");
}

}  // namespace

Findings check_network(const std::vector<std::string>& uplinks, bool default6) {
  return {
      forwarding_finding("ipv4-forwarding", "/proc/sys/net/ipv4/ip_forward", "net.ipv4.ip_forward"),
      forwarding_finding("ipv6-forwarding", "/proc/sys/net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"),
      router_advertisement_finding(uplinks, default6),
      masquerade_finding(),
  };
}

}  // namespace netkite::cli
