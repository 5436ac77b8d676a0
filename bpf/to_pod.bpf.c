// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the node sends to a pod, and what from_pod of another pod on this node redirected: netkit primary, or tcx egress
 * of the host end of a veth. What bpf_redirect_peer hands over does not pass here: from the uplink, and where from_pod
 * can use it from pods of this node.
 *
 * On netkit skb->ifindex is the pod's own interface, so whether the address belongs to this device cannot be said here;
 * the host's routes (one per address) and from_pod choose the device. On veth it is checked.
 * What the stack sends may be an answer to a pod that has asked for a service by packets, from the node itself or from
 * a pod whose packets take the stack. Verdicts: DROP, PASS; NEXT only where programs stand behind ours (lib/verdict.h).
 */
#include "lib/address.h"
#include "lib/answer.h"
#include "lib/drop.h"
#include "lib/parse.h"
#include "lib/verdict.h"

static __always_inline int refuse(struct __sk_buff *ctx, __u32 reason)
{
	return nk_drop(ctx, NK_HOOK_TO_POD, reason);
}

/* Not 0: refused. */
static __always_inline int check(struct __sk_buff *ctx, const struct nk_endpoint *ep, bool from_loopback)
{
	if (unlikely(!ep))
		return refuse(ctx, NK_DROP_NOT_FOR_POD);
	if (!nk_config.netkit && unlikely(ep->ifindex != ctx->ifindex))
		return refuse(ctx, NK_DROP_NOT_FOR_POD);
	if (unlikely(from_loopback))
		return refuse(ctx, NK_DROP_LOOPBACK);
	return 0;
}

/* Whether the stack may be answering. Past a device that others' programs watch nobody is served. */
static __always_inline bool may_be_answer(const struct __sk_buff *ctx)
{
	return nk_config.services && nk_may_forward() && !nk_is_sent(ctx);
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
	if (check(ctx, nk_endpoint4(&ip->daddr), nk_loopback4(ip->saddr)))
		return TCX_DROP;
	if (may_be_answer(ctx) && !nk_answer4(ctx))
		return refuse(ctx, NK_DROP_MALFORMED);
	return nk_accept(ctx);
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
	if (check(ctx, nk_endpoint6(&ip->daddr), nk_loopback6(&ip->saddr)))
		return TCX_DROP;
	if (may_be_answer(ctx) && !nk_answer6(ctx))
		return refuse(ctx, NK_DROP_MALFORMED);
	return nk_accept(ctx);
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
