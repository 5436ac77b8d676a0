// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tcx egress of the overlay device: what the node itself sends to other nodes' pods, and pods' packets that took the
 * stack, get the address of the node to go to, and answers to who asked for a service that of the service. What
 * from_pod sends has both already. Verdicts: DROP, PASS; NEXT only where programs stand behind ours (lib/verdict.h).
 */
#include "lib/answer.h"
#include "lib/drop.h"
#include "lib/encap.h"
#include "lib/parse.h"
#include "lib/tunnels.h"
#include "lib/verdict.h"

static __always_inline int refuse(struct __sk_buff *ctx, __u32 reason)
{
	return nk_drop(ctx, NK_HOOK_TO_OVERLAY, reason);
}

/* NULL: no node of ours, such as a group that the stack wants to join there. */
static __always_inline int send(struct __sk_buff *ctx, struct ethhdr *eth, const struct nk_tunnel *tunnel)
{
	if (!tunnel)
		return refuse(ctx, NK_DROP_NOT_FOR_POD);
	nk_set_overlay_macs(eth);
	nk_encapsulate(ctx, tunnel);
	return nk_accept(ctx);
}

static __always_inline int to_overlay4(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_ipv4_frame(ctx);

	if (unlikely(!eth))
		return refuse(ctx, NK_DROP_MALFORMED);
	if (likely(nk_has_overlay_macs(eth)))
		return nk_accept(ctx);
	if (nk_config.services) {
		if (unlikely(!nk_answer4(ctx)))
			return refuse(ctx, NK_DROP_MALFORMED);
		eth = nk_ipv4_frame(ctx);
		if (unlikely(!eth))
			return refuse(ctx, NK_DROP_MALFORMED);
	}
	return send(ctx, eth, nk_tunnel4(((const struct iphdr *)(eth + 1))->daddr));
}

static __always_inline int to_overlay6(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_ipv6_frame(ctx);

	if (unlikely(!eth))
		return refuse(ctx, NK_DROP_MALFORMED);
	if (likely(nk_has_overlay_macs(eth)))
		return nk_accept(ctx);
	if (nk_config.services) {
		if (unlikely(!nk_answer6(ctx)))
			return refuse(ctx, NK_DROP_MALFORMED);
		eth = nk_ipv6_frame(ctx);
		if (unlikely(!eth))
			return refuse(ctx, NK_DROP_MALFORMED);
	}
	return send(ctx, eth, nk_tunnel6(&((const struct ipv6hdr *)(eth + 1))->daddr));
}

SEC("tc")
int nk_to_overlay(struct __sk_buff *ctx)
{
	if (unlikely(ctx->vlan_present))
		return refuse(ctx, NK_DROP_UNSUPPORTED_L3);
	if (ctx->protocol == bpf_htons(ETH_P_IP))
		return to_overlay4(ctx);
	if (ctx->protocol == bpf_htons(ETH_P_IPV6))
		return to_overlay6(ctx);
	return refuse(ctx, NK_DROP_UNSUPPORTED_L3);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
