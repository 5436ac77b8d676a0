// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the node sends to a pod, and what from_pod of another pod on this node redirected: netkit primary, or tcx egress
 * of the host end of a veth. What comes from the uplink by redirect_peer does not pass here.
 *
 * On netkit skb->ifindex is the pod's own interface, so whether the address belongs to this device cannot be said here;
 * the host's routes (one per address) and from_pod choose the device. On veth it is checked.
 * Verdicts: DROP, PASS; NEXT only where programs stand behind ours (lib/verdict.h).
 */
#include "lib/address.h"
#include "lib/drop.h"
#include "lib/parse.h"
#include "lib/verdict.h"

static __always_inline int refuse(struct __sk_buff *ctx, __u32 reason)
{
	return nk_drop(ctx, NK_HOOK_TO_POD, reason);
}

static __always_inline int decide(struct __sk_buff *ctx, const struct nk_endpoint *ep, bool from_loopback)
{
	if (unlikely(!ep))
		return refuse(ctx, NK_DROP_NOT_FOR_POD);
	if (!nk_config.netkit && unlikely(ep->ifindex != ctx->ifindex))
		return refuse(ctx, NK_DROP_NOT_FOR_POD);
	if (unlikely(from_loopback))
		return refuse(ctx, NK_DROP_LOOPBACK);
	return nk_accept(ctx);
}

static __always_inline int to_pod4(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_ipv4_frame(ctx);
	struct iphdr *ip;

	if (unlikely(!eth))
		return refuse(ctx, NK_DROP_MALFORMED);
	ip = (void *)(eth + 1);
	if (unlikely(nk_first_byte(ip) >> 4 != 4))
		return refuse(ctx, NK_DROP_MALFORMED);
	return decide(ctx, nk_endpoint4(&ip->daddr), nk_loopback4(ip->saddr));
}

static __always_inline int to_pod6(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_ipv6_frame(ctx);
	struct ipv6hdr *ip;

	if (unlikely(!eth))
		return refuse(ctx, NK_DROP_MALFORMED);
	ip = (void *)(eth + 1);
	if (unlikely(nk_first_byte(ip) >> 4 != 6))
		return refuse(ctx, NK_DROP_MALFORMED);
	return decide(ctx, nk_endpoint6(&ip->daddr), nk_loopback6(&ip->saddr));
}

SEC("tc")
int nk_to_pod(struct __sk_buff *ctx)
{
	if (unlikely(ctx->vlan_present))
		return refuse(ctx, NK_DROP_UNSUPPORTED_L3);
	if (ctx->protocol == bpf_htons(ETH_P_IP))
		return to_pod4(ctx);
	if (ctx->protocol == bpf_htons(ETH_P_IPV6))
		return to_pod6(ctx);
	return refuse(ctx, NK_DROP_UNSUPPORTED_L3);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
