// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What an uplink does before the kernel makes a packet of the frame. The earliest refusal: source prefixes of the
 * deny-list; up to two VLAN tags are looked through. Then, on nodes with services, connections that only pass through
 * this node (lib/express.h). Anything that it does not understand passes: the programs and the stack behind it decide.
 * Verdicts: XDP_PASS, XDP_DROP, XDP_REDIRECT.
 */
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include "lib/counters.h"
#include "lib/deny.h"
#include "lib/event.h"
#include "lib/express.h"

#define NK_VLAN_TAGS 2

struct vlan_tag {
	__be16 tci;
	__be16 protocol;
};

struct cursor {
	void *l3;
	void *end;
	__be16 protocol;
};

static __always_inline bool to_l3(struct xdp_md *ctx, struct cursor *at)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	at->end = (void *)(long)ctx->data_end;
	at->l3 = eth + 1;
	if (at->l3 > at->end)
		return false;
	at->protocol = eth->h_proto;
	for (int i = 0; i < NK_VLAN_TAGS; i++) {
		struct vlan_tag *tag = at->l3;

		if (at->protocol != bpf_htons(ETH_P_8021Q) && at->protocol != bpf_htons(ETH_P_8021AD))
			break;
		at->l3 = tag + 1;
		if (at->l3 > at->end)
			return false;
		at->protocol = tag->protocol;
	}
	return true;
}

static __noinline int deny(struct xdp_md *ctx, __u32 l3_offset, __u16 protocol)
{
	struct nk_refusal refusal = {
		.reason = NK_DROP_DENIED_PREFIX,
		.hook = NK_HOOK_XDP,
		.ifindex = ctx->ingress_ifindex,
		.length = bpf_xdp_get_buff_len(ctx),
		.l3_offset = l3_offset,
		.protocol = protocol,
	};

	nk_count(NK_DROP_DENIED_PREFIX, refusal.length);
	if (nk_monitored())
		nk_report(ctx, true, &refusal);
	return XDP_DROP;
}

static __always_inline struct nk_deny *find(const struct cursor *at)
{
	if (at->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = at->l3;

		return (void *)(ip + 1) <= at->end ? nk_deny4(ip->saddr) : NULL;
	}
	if (at->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = at->l3;

		return (void *)(ip + 1) <= at->end ? nk_deny6(&ip->saddr) : NULL;
	}
	return NULL;
}

/* A tagged frame is for another device than this one. */
static __always_inline int express(struct xdp_md *ctx, const struct cursor *at)
{
	if (at->l3 - (void *)(long)ctx->data != ETH_HLEN)
		return XDP_PASS;
	if (at->protocol == bpf_htons(ETH_P_IP))
		return nk_express4(ctx);
	return at->protocol == bpf_htons(ETH_P_IPV6) ? nk_express6(ctx) : XDP_PASS;
}

/* "frags": also on devices whose frames are larger than a page. */
SEC("xdp.frags")
int nk_xdp_prefilter(struct xdp_md *ctx)
{
	struct cursor at;
	struct nk_deny *denied;

	if (!to_l3(ctx, &at))
		return XDP_PASS;
	denied = find(&at);
	if (likely(!denied))
		return nk_config.express ? express(ctx, &at) : XDP_PASS;
	__sync_fetch_and_add(&denied->packets, 1);
	__sync_fetch_and_add(&denied->bytes, bpf_xdp_get_buff_len(ctx));
	return deny(ctx, at.l3 - (void *)(long)ctx->data, at.protocol);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
