/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* To other nodes by the overlay: wrapped here, or by its device where only that can. */
#pragma once

#include "lib/deliver.h"
#include "lib/drop.h"
#include "lib/encap.h"
#include "lib/sent.h"
#include "lib/tunnels.h"
#include "lib/untouched.h"
#include "lib/verdict.h"

/*
 * Over IPv6, and segments that only the device can cut, or has to. NULL: the tunnel is gone by now. The stack knows
 * what to do with a pod's own packet then, and nothing of a translated one.
 */
static __always_inline int nk_leave_by_device(struct __sk_buff *ctx, struct ethhdr *eth, const struct nk_tunnel *tunnel,
					      __u32 hook)
{
	if (!tunnel)
		return hook == NK_HOOK_FROM_POD ? nk_accept(ctx) : nk_drop(ctx, hook, NK_DROP_UNREACHABLE_BACKEND);
	nk_set_overlay_macs(eth);
	nk_encapsulate(ctx, tunnel);
	bpf_redirect(tunnel->device, 0);
	return TCX_REDIRECT;
}

static __noinline int nk_leave_by_device4(struct __sk_buff *ctx, __u32 hook)
{
	struct ethhdr *eth = nk_ipv4_frame(ctx);

	if (!eth)
		return nk_drop(ctx, hook, NK_DROP_MALFORMED);
	return nk_leave_by_device(ctx, eth, nk_tunnel4(((const struct iphdr *)(eth + 1))->daddr), hook);
}

static __noinline int nk_leave_by_device6(struct __sk_buff *ctx, __u32 hook)
{
	struct ethhdr *eth = nk_ipv6_frame(ctx);

	if (!eth)
		return nk_drop(ctx, hook, NK_DROP_MALFORMED);
	return nk_leave_by_device(ctx, eth, nk_tunnel6(&((const struct ipv6hdr *)(eth + 1))->daddr), hook);
}

/* NK_UNTOUCHED: only the device can. */
static __always_inline int nk_wrap(struct __sk_buff *ctx, struct nk_way *way, __u32 hook)
{
	__u32 bytes = ctx->len - ETH_HLEN, hash = bpf_get_hash_recalc(ctx);
	__u16 protocol = ctx->protocol;
	struct ethhdr *eth;

	if (unlikely(way->kind != NK_WAY_WRAP || bytes > NK_MOST_INSIDE) || unlikely(!nk_make_room(ctx)))
		return NK_UNTOUCHED;
	eth = nk_linear(ctx, sizeof(*eth) + NK_WRAPPING);
	if (unlikely(!eth))
		return nk_drop(ctx, hook, NK_DROP_MALFORMED);
	eth->h_proto = bpf_htons(ETH_P_IP);
	nk_write_wrapping((void *)(eth + 1), way, bytes, hash, protocol);
	nk_mark_sent(ctx);
	bpf_redirect_neigh(way->ifindex, &way->nexthop, sizeof(way->nexthop), 0);
	return TCX_REDIRECT;
}

static __always_inline int nk_leave_by_tunnel(struct __sk_buff *ctx, struct nk_way *way, __u32 hook)
{
	int verdict = nk_wrap(ctx, way, hook);

	if (verdict != NK_UNTOUCHED)
		return verdict;
	return ctx->protocol == bpf_htons(ETH_P_IP) ? nk_leave_by_device4(ctx, hook) : nk_leave_by_device6(ctx, hook);
}
