// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Every packet that a pod sends: netkit peer, or tcx ingress of the host end of a veth. One loaded program serves all
 * pods, since skb->ifindex is the host end in both cases.
 *
 * A plain TCP or UDP packet takes the shortest way: once a source is proven and the way is found, the next packets
 * between the same addresses need one lookup (lib/flow.h). Verdicts: DROP, REDIRECT, PASS; NEXT only where programs
 * stand behind ours (lib/verdict.h).
 */
#include "lib/address.h"
#include "lib/checksum.h"
#include "lib/deliver.h"
#include "lib/depart.h"
#include "lib/drop.h"
#include "lib/inspect.h"
#include "lib/leave.h"
#include "lib/pace.h"
#include "lib/service_path.h"
#include "lib/tunnels.h"
#include "lib/verdict.h"

static __always_inline int refuse(struct __sk_buff *ctx, __u32 reason)
{
	return nk_drop(ctx, NK_HOOK_FROM_POD, reason);
}

/* The source is no address of this device's pod: say which mistake it is. */
static __noinline int refuse_source(struct __sk_buff *ctx, bool loopback, bool unspecified, __u32 family)
{
	struct nk_device *device = nk_device(ctx->ifindex);

	if (loopback)
		return refuse(ctx, NK_DROP_LOOPBACK);
	if (!device)
		return refuse(ctx, NK_DROP_UNKNOWN_DEVICE);
	if (!(device->flags & family))
		return refuse(ctx, family == NK_EP_IPV4 ? NK_DROP_NO_IPV4 : NK_DROP_NO_IPV6);
	return refuse(ctx, unspecified ? NK_DROP_UNSPECIFIED_SOURCE : NK_DROP_SPOOFED_SOURCE);
}

/*
 * To the node itself, to the outside, to a group: the stack knows. Connection tracking there must see both halves of a
 * connection or none, so a pod that needs the stack (`flags` of either end) needs it in both directions.
 */
static __always_inline void find_way(struct nk_way *way, __u32 flags, struct nk_endpoint *ep, struct nk_remote *remote,
				     struct nk_tunnel *tunnel)
{
	if (ep)
		flags |= ep->flags;
	if (!nk_may_forward() || flags & NK_EP_STACK)
		nk_way_to_stack(way);
	else if (ep)
		nk_way_to_pod(way, ep, nk_config.peer);
	else if (remote)
		nk_way_to_remote(way, remote);
	else if (tunnel)
		nk_way_to_tunnel(way, tunnel);
	else
		nk_way_to_stack(way);
}

/* Who needs the stack needs it in both directions. */
static __always_inline bool is_outside(__u32 flags, const struct nk_endpoint *ep, const struct nk_remote *remote,
				       const struct nk_tunnel *tunnel)
{
	return !(flags & NK_EP_STACK) && !ep && !remote && !tunnel;
}

/* For a packet that nothing is remembered of: proves the source and finds the way. Not 0: refused. */
static __noinline int resolve4(struct __sk_buff *ctx, struct nk_flow4 *flow, __u64 epoch, const struct iphdr *ip)
{
	struct nk_tunnel *tunnel;
	struct nk_remote *remote;
	struct nk_endpoint *ep;
	__u32 flags;

	nk_after_epoch(&flow->epoch);
	ep = nk_endpoint4(&ip->saddr);
	if (!ep || ep->ifindex != ctx->ifindex)
		return refuse_source(ctx, nk_loopback4(ip->saddr) || nk_loopback4(ip->daddr), !ip->saddr, NK_EP_IPV4);
	if (nk_loopback4(ip->daddr))
		return refuse(ctx, NK_DROP_LOOPBACK);
	flags = ep->flags;
	ep = nk_endpoint4(&ip->daddr);
	remote = ep ? NULL : nk_remote4(ip->daddr);
	tunnel = ep || remote ? NULL : nk_tunnel4(ip->daddr);
	find_way(&flow->way, flags, ep, remote, tunnel);
	if (nk_may_depart() && !flow->way.mtu) {
		flow->way.kind = NK_WAY_DEVICE;
		if (is_outside(flags, ep, remote, tunnel))
			flow->way.kind = nk_masked4(ip->daddr) ? NK_WAY_MASKED : NK_WAY_OUTSIDE;
	}
	nk_flow4_set(flow, epoch, ctx->ifindex, nk_pair4(ip));
	return 0;
}

static __noinline int resolve6(struct __sk_buff *ctx, struct nk_flow6 *flow, __u64 epoch, const struct ipv6hdr *ip)
{
	struct nk_tunnel *tunnel;
	struct nk_remote *remote;
	struct nk_endpoint *ep;
	__u32 flags;

	nk_after_epoch(&flow->epoch);
	ep = nk_endpoint6(&ip->saddr);
	if (!ep || ep->ifindex != ctx->ifindex)
		return refuse_source(ctx, nk_loopback6(&ip->saddr) || nk_loopback6(&ip->daddr),
				     nk_unspecified6(&ip->saddr), NK_EP_IPV6);
	if (nk_loopback6(&ip->daddr))
		return refuse(ctx, NK_DROP_LOOPBACK);
	flags = ep->flags;
	ep = nk_endpoint6(&ip->daddr);
	remote = ep ? NULL : nk_remote6(&ip->daddr);
	tunnel = ep || remote ? NULL : nk_tunnel6(&ip->daddr);
	find_way(&flow->way, flags, ep, remote, tunnel);
	if (nk_may_depart() && !flow->way.mtu) {
		flow->way.kind = NK_WAY_DEVICE;
		if (is_outside(flags, ep, remote, tunnel))
			flow->way.kind = nk_masked6(&ip->daddr) ? NK_WAY_MASKED : NK_WAY_OUTSIDE;
	}
	nk_flow6_set(flow, epoch, ctx->ifindex, nk_pair6(ip));
	return 0;
}

static __always_inline bool pace_if_sent(struct __sk_buff *ctx, struct nk_pace *pace, struct bpf_fib_lookup *route,
					 const struct nk_tunnel *tunnel)
{
	long answer = bpf_fib_lookup(ctx, route, sizeof(*route), BPF_FIB_LOOKUP_SKIP_NEIGH);

	if (answer && answer <= BPF_FIB_LKUP_RET_FWD_DISABLED)
		return true;
	if (!tunnel)
		return nk_depart_in_turn(ctx, pace, 0);
	return nk_depart_in_turn(ctx, pace, tunnel->family == NK_AF_INET ? NK_WRAPPING : NK_WRAPPING_IPV6);
}

/* The stack decides where the packet goes: it is limited if that is away from the node. False: it has to be dropped. */
static __noinline bool pace_in_stack4(struct __sk_buff *ctx)
{
	struct bpf_fib_lookup route = { .family = NK_AF_INET, .ifindex = ctx->ifindex };
	struct nk_pace *pace = nk_pace_of(ctx);
	__u32 ends[2];

	if (!pace || bpf_skb_load_bytes(ctx, ETH_HLEN + offsetof(struct iphdr, saddr), ends, sizeof(ends)) ||
	    nk_endpoint4(&ends[1]))
		return true;
	route.ipv4_src = ends[0];
	route.ipv4_dst = ends[1];
	return pace_if_sent(ctx, pace, &route, nk_remote4(ends[1]) ? NULL : nk_tunnel4(ends[1]));
}

static __noinline bool pace_in_stack6(struct __sk_buff *ctx)
{
	struct bpf_fib_lookup route = { .family = NK_AF_INET6, .ifindex = ctx->ifindex };
	struct nk_pace *pace = nk_pace_of(ctx);

	if (!pace ||
	    bpf_skb_load_bytes(ctx, ETH_HLEN + offsetof(struct ipv6hdr, saddr), route.ipv6_src,
			       sizeof(route.ipv6_src) + sizeof(route.ipv6_dst)) ||
	    nk_endpoint6(route.ipv6_dst))
		return true;
	return pace_if_sent(ctx, pace, &route, nk_remote6(route.ipv6_dst) ? NULL : nk_tunnel6(route.ipv6_dst));
}

static __always_inline int to_stack4(struct __sk_buff *ctx)
{
	if (nk_config.bandwidth && !pace_in_stack4(ctx))
		return refuse(ctx, NK_DROP_BANDWIDTH);
	return nk_accept(ctx);
}

static __always_inline int to_stack6(struct __sk_buff *ctx)
{
	if (nk_config.bandwidth && !pace_in_stack6(ctx))
		return refuse(ctx, NK_DROP_BANDWIDTH);
	return nk_accept(ctx);
}

static __always_inline int from_pod4(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_ipv4_frame(ctx);
	struct nk_flow4 *flow;
	struct iphdr *ip;
	__u64 epoch;

	if (unlikely(!eth))
		return refuse(ctx, NK_DROP_MALFORMED);
	ip = (void *)(eth + 1);
	if (unlikely(nk_first_byte(ip) != NK_IPV4_PLAIN || ip->protocol == IPPROTO_ICMP)) {
		int reason = nk_inspect4(ctx);

		if (reason)
			return refuse(ctx, reason);
	} else if (unlikely(nk_is_summed_within(ctx, ETH_HLEN + sizeof(*ip)))) {
		return refuse(ctx, NK_DROP_MALFORMED);
	}

	epoch = nk_epoch();
	flow = nk_flow4(nk_pair4(ip));
	if (unlikely(!flow))
		return refuse(ctx, NK_DROP_UNSPEC);
	if (unlikely(!nk_flow4_is(flow, epoch, ctx->ifindex, nk_pair4(ip))) && resolve4(ctx, flow, epoch, ip))
		return TCX_DROP;
	if (nk_may_depart() && !flow->way.mtu) {
		int verdict = nk_depart4(ctx, flow->way.kind);

		return verdict == NK_UNTOUCHED ? to_stack4(ctx) : verdict;
	}
	/* What a router answers or looks into is the stack's: the last hop, options, packets that are too big. */
	if (nk_config.after_hooks || unlikely(nk_first_byte(ip) != NK_IPV4_PLAIN || ip->ttl <= 1) ||
	    !nk_fits(ctx, &flow->way, sizeof(*ip), ip->protocol))
		return to_stack4(ctx);
	if (!nk_pace(ctx, &flow->way))
		return refuse(ctx, NK_DROP_BANDWIDTH);
	nk_hop4(ip);
	if (nk_config.vni && flow->way.kind >= NK_WAY_TUNNEL)
		return nk_leave_by_tunnel(ctx, &flow->way, NK_HOOK_FROM_POD);
	return nk_leave(ctx, eth, &flow->way);
}

static __always_inline int from_pod6(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_ipv6_frame(ctx);
	struct nk_flow6 *flow;
	struct ipv6hdr *ip;
	__u64 epoch;

	if (unlikely(!eth))
		return refuse(ctx, NK_DROP_MALFORMED);
	ip = (void *)(eth + 1);
	if (unlikely(nk_first_byte(ip) >> 4 != 6))
		return refuse(ctx, NK_DROP_MALFORMED);
	if (ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP) {
		int reason = nk_inspect6(ctx);

		if (reason)
			return refuse(ctx, reason);
	} else if (unlikely(nk_is_summed_within(ctx, ETH_HLEN + sizeof(*ip)))) {
		return refuse(ctx, NK_DROP_MALFORMED);
	}

	epoch = nk_epoch();
	flow = nk_flow6(nk_pair6(ip));
	if (unlikely(!flow))
		return refuse(ctx, NK_DROP_UNSPEC);
	if (unlikely(!nk_flow6_is(flow, epoch, ctx->ifindex, nk_pair6(ip))) && resolve6(ctx, flow, epoch, ip))
		return TCX_DROP;
	if (nk_may_depart() && !flow->way.mtu) {
		int verdict = nk_depart6(ctx, flow->way.kind);

		return verdict == NK_UNTOUCHED ? to_stack6(ctx) : verdict;
	}
	if (nk_config.after_hooks || unlikely(ip->hop_limit <= 1) ||
	    !nk_fits(ctx, &flow->way, sizeof(*ip), ip->nexthdr))
		return to_stack6(ctx);
	if (!nk_pace(ctx, &flow->way))
		return refuse(ctx, NK_DROP_BANDWIDTH);
	nk_hop6(ctx, ip);
	if (nk_config.vni && flow->way.kind >= NK_WAY_TUNNEL)
		return nk_leave_by_tunnel(ctx, &flow->way, NK_HOOK_FROM_POD);
	return nk_leave(ctx, eth, &flow->way);
}

SEC("tc")
int nk_from_pod(struct __sk_buff *ctx)
{
	/* A tag that the device holds apart from the frame would go out on the uplink's network. */
	if (unlikely(ctx->vlan_present))
		return refuse(ctx, NK_DROP_UNSUPPORTED_L3);
	if (ctx->protocol == bpf_htons(ETH_P_IP))
		return from_pod4(ctx);
	if (ctx->protocol == bpf_htons(ETH_P_IPV6))
		return from_pod6(ctx);
	return refuse(ctx, NK_DROP_UNSUPPORTED_L3);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
