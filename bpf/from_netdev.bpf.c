// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tcx ingress of the uplink: packets for local pods go straight into the pod. All else is not ours, and goes on with
 * NEXT to whatever is attached there and to the stack.
 *
 * Only what comes from another node of ours is redirected, because only its answers bypass the stack as well
 * (from_pod). Connection tracking, and with it masquerade, would see one half of any other connection and break it; the
 * stack takes those, and to_pod checks them. Verdicts: NEXT, REDIRECT, DROP.
 */
#include <linux/if_packet.h>
#include "lib/address.h"
#include "lib/admit.h"
#include "lib/deliver.h"
#include "lib/drop.h"
#include "lib/tunnels.h"
#include "lib/unwrap.h"
#include "lib/verdict.h"

static __always_inline int refuse(struct __sk_buff *ctx, __u32 reason)
{
	return nk_drop(ctx, NK_HOOK_FROM_NETDEV, reason);
}

/* NULL: not for a pod, or from outside. That is worth remembering too: it is most of what the node itself gets. */
static __always_inline void find_way(struct nk_way *way, const struct nk_endpoint *ep)
{
	if (ep && nk_may_forward() && !(ep->flags & NK_EP_STACK))
		nk_way_to_pod(way, ep, true);
	else
		nk_way_to_stack(way);
}

/* Whether a pod is reached by the overlay, so that this is not its packet. */
static __always_inline bool is_pods(const struct nk_tunnel *tunnel)
{
	return tunnel && !nk_is_its_node(tunnel);
}

/* For a packet that nothing is remembered of. Not 0: refused. */
static __noinline int resolve4(struct __sk_buff *ctx, struct nk_flow4 *flow, __u64 epoch, const struct iphdr *ip)
{
	struct nk_endpoint *ep;

	nk_after_epoch(&flow->epoch);
	ep = nk_endpoint4(&ip->daddr);
	if (ep && !nk_remote4(ip->saddr)) {
		if (nk_loopback4(ip->saddr))
			return refuse(ctx, NK_DROP_LOOPBACK);
		if (nk_endpoint4(&ip->saddr) || nk_tunnel4(ip->saddr))
			return refuse(ctx, NK_DROP_UPLINK_SPOOF);
		ep = NULL;
	} else if (!ep && nk_translates() && nk_endpoint4(&ip->saddr)) {
		/* Nor does anybody go on with what one of our pods has begun. */
		return refuse(ctx, NK_DROP_UPLINK_SPOOF);
	}
	find_way(&flow->way, ep);
	if (nk_translates() && nk_config.vni && !ep)
		flow->way.kind = is_pods(nk_tunnel4(ip->saddr)) ? NK_WAY_TUNNEL : NK_WAY_DEVICE;
	nk_flow4_set(flow, epoch, ctx->ifindex, nk_pair4(ip));
	return 0;
}

static __noinline int resolve6(struct __sk_buff *ctx, struct nk_flow6 *flow, __u64 epoch, const struct ipv6hdr *ip)
{
	struct nk_endpoint *ep;

	nk_after_epoch(&flow->epoch);
	ep = nk_endpoint6(&ip->daddr);
	if (ep && !nk_remote6(&ip->saddr)) {
		if (nk_loopback6(&ip->saddr))
			return refuse(ctx, NK_DROP_LOOPBACK);
		if (nk_endpoint6(&ip->saddr) || nk_tunnel6(&ip->saddr))
			return refuse(ctx, NK_DROP_UPLINK_SPOOF);
		ep = NULL;
	} else if (!ep && nk_translates() && nk_endpoint6(&ip->saddr)) {
		/* Nor does anybody go on with what one of our pods has begun. */
		return refuse(ctx, NK_DROP_UPLINK_SPOOF);
	}
	find_way(&flow->way, ep);
	if (nk_translates() && nk_config.vni && !ep)
		flow->way.kind = is_pods(nk_tunnel6(&ip->saddr)) ? NK_WAY_TUNNEL : NK_WAY_DEVICE;
	nk_flow6_set(flow, epoch, ctx->ifindex, nk_pair6(ip));
	return 0;
}

static __always_inline int from_netdev4(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_ipv4_frame(ctx);
	struct nk_flow4 *flow;
	struct iphdr *ip;
	__u64 epoch;

	if (unlikely(!eth))
		return nk_pass_on();
	ip = (void *)(eth + 1);
	if (nk_config.vni && nk_may_forward() && ip->protocol == IPPROTO_UDP) {
		int verdict = nk_unwrap(ctx);

		if (verdict != NK_UNTOUCHED)
			return verdict;
		eth = nk_ipv4_frame(ctx);
		if (unlikely(!eth))
			return nk_pass_on();
		ip = (void *)(eth + 1);
	}
	epoch = nk_epoch();
	flow = nk_flow4(nk_pair4(ip));
	if (unlikely(!flow))
		return nk_pass_on();
	if (!nk_flow4_is(flow, epoch, ctx->ifindex, nk_pair4(ip)) && resolve4(ctx, flow, epoch, ip))
		return TCX_DROP;
	if (nk_translates() && nk_may_forward() && !flow->way.mtu) {
		int verdict = nk_serve4(ctx, NK_HOOK_FROM_NETDEV, flow->way.kind != NK_WAY_TUNNEL);

		return verdict == NK_UNTOUCHED ? nk_pass_on() : verdict;
	}
	if (nk_config.after_hooks || !flow->way.mtu || unlikely(nk_first_byte(ip) != NK_IPV4_PLAIN || ip->ttl <= 1))
		return nk_pass_on();
	nk_hop4(ip);
	return nk_enter(ctx, eth, &flow->way);
}

static __always_inline int from_netdev6(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_ipv6_frame(ctx);
	struct nk_flow6 *flow;
	struct ipv6hdr *ip;
	__u64 epoch;

	if (unlikely(!eth))
		return nk_pass_on();
	ip = (void *)(eth + 1);
	epoch = nk_epoch();
	flow = nk_flow6(nk_pair6(ip));
	if (unlikely(!flow))
		return nk_pass_on();
	if (!nk_flow6_is(flow, epoch, ctx->ifindex, nk_pair6(ip)) && resolve6(ctx, flow, epoch, ip))
		return TCX_DROP;
	if (nk_translates() && nk_may_forward() && !flow->way.mtu) {
		int verdict = nk_serve6(ctx, NK_HOOK_FROM_NETDEV, flow->way.kind != NK_WAY_TUNNEL);

		return verdict == NK_UNTOUCHED ? nk_pass_on() : verdict;
	}
	if (nk_config.after_hooks || !flow->way.mtu || unlikely(nk_first_byte(ip) >> 4 != 6 || ip->hop_limit <= 1))
		return nk_pass_on();
	nk_hop6(ctx, ip);
	return nk_enter(ctx, eth, &flow->way);
}

SEC("tc")
int nk_from_netdev(struct __sk_buff *ctx)
{
	/* Frames for others (a promiscuous device), and tagged ones: the VLAN's own device is another uplink. */
	if (unlikely(ctx->pkt_type != PACKET_HOST || ctx->vlan_present))
		return nk_pass_on();
	if (ctx->protocol == bpf_htons(ETH_P_IP))
		return from_netdev4(ctx);
	if (ctx->protocol == bpf_htons(ETH_P_IPV6))
		return from_netdev6(ctx);
	return nk_pass_on();
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
