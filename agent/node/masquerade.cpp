// SPDX-License-Identifier: Apache-2.0
#include "agent/node/masquerade.hpp"

#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "agent/node/node.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::node {
namespace {

// libnftables ends the whole process when it cannot open its socket: find out before it does.
Result<void> probe_netfilter() {
  const UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (socket.valid()) return {};
  if (errno == EPROTONOSUPPORT) return tl::make_unexpected(masquerade_error("nfnetlink is not supported"));
  return fail_errno(errno, "open a netfilter socket");
}

Result<void> run_nft(const std::string& commands) {
  if (auto usable = probe_netfilter(); !usable) return usable;
  const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context(nft_ctx_new(NFT_CTX_DEFAULT), &nft_ctx_free);
  if (context == nullptr) return fail(Code::io, "nftables: no context");
  nft_ctx_buffer_output(context.get());
  nft_ctx_buffer_error(context.get());
  if (nft_run_cmd_from_buffer(context.get(), commands.c_str()) == 0) return {};
  return tl::make_unexpected(masquerade_error(nft_ctx_get_error_buffer(context.get())));
}

}  // namespace

datapath::Masquerade masquerade_of(const config::Options& options, const std::vector<Uplink>& uplinks) {
  datapath::Masquerade result;
  if (!options.masquerade.enabled || !config::masks_in_bpf(options)) return result;
  for (const auto& uplink : uplinks) {
    result.exits.push_back({.ifindex = uplink.ifindex, .addresses = uplink.addresses});
  }
  result.direct = direct_destinations(options);
  result.own_ports = config::program_ports(options);
  result.stack_ports = config::stack_ports(options);
  return result;
}

Result<void> remove_masquerade() {
  auto done = run_nft("table inet netkite\ndelete table inet netkite\n");
  if (!done && done.error().code == Code::unsupported) return {};  // then there is no table either
  return done;
}

Result<void> apply_masquerade(const config::Options& options) {
  return options.masquerade.enabled ? run_nft(masquerade_ruleset(options)) : remove_masquerade();
}

}  // namespace netkite::node
