/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a translated packet goes: a pod of this node, the node itself, another one, or by an uplink to whoever is none
 * of these. As for packets between pods, what has been found out is remembered (lib/flow.h). The way outside is the
 * kernel's routes' to say, of whose changes not all are told, and none while the agent is away: so it is asked for
 * again with each tick.
 */
#pragma once

#include "lib/connection.h"
#include "lib/leave.h"
#include "lib/pace.h"
#include "lib/sent.h"
#include "lib/tuple.h"

/* In place of a device's number in a flow. For each hook its own, since not each may hand over past a device. */
#define NK_FLOW_TRANSLATED(hook) (~1U - (hook))

/* The hook's program runs on a pod's device, or at tcx ingress, where bpf_redirect_peer() always works. */
static __always_inline bool nk_may_go_past(__u32 hook)
{
	return hook != NK_HOOK_FROM_POD || nk_config.peer;
}

static __always_inline void nk_way_to_node(struct nk_way *way)
{
	nk_way_to_stack(way);
	way->kind = NK_WAY_NODE;
	way->tick = nk_tick();
}

/*
 * A pod that somebody rewrites or queues packets of is reached through its device: that is where queues are. One whose
 * answers take the stack is reached by it: connection tracking must see both halves. Who comes from outside knows
 * nothing of the pods' MTU, which an overlay makes smaller than the uplink's.
 */
static __always_inline void nk_way_inside(struct __sk_buff *ctx, struct nk_way *way, const struct nk_endpoint *ep,
					  __u32 hook)
{
	__u32 mtu = 0;

	if (nk_config.services && ep->flags & NK_EP_HOOKED) {
		nk_way_to_node(way);
		return;
	}
	nk_way_to_pod(way, ep, nk_may_go_past(hook) && !(ep->flags & NK_EP_STACK));
	bpf_check_mtu(ctx, ep->ifindex, &mtu, 0, 0);
	if (mtu)
		way->mtu = mtu;
}

/* Whether the stack takes the packet on: there are no hops and sizes to look at here. */
static __always_inline bool nk_enters_node(const struct nk_way *way)
{
	return nk_config.services && way->kind == NK_WAY_NODE;
}

/*
 * NULL: not by the overlay. A node itself is reached on the uplink that leads to it, if that is the one which `way`
 * names: by which the other end has come.
 */
static __always_inline const struct nk_tunnel *nk_tunnel_onward4(const struct nk_way *way, __u32 destination)
{
	const struct nk_tunnel *tunnel = nk_tunnel4(destination);
	bool beside = tunnel && way->ifindex == tunnel->way.ifindex && nk_is_its_node(tunnel);

	return beside ? NULL : tunnel;
}

static __always_inline const struct nk_tunnel *nk_tunnel_onward6(const struct nk_way *way, const void *destination)
{
	const struct nk_tunnel *tunnel = nk_tunnel6(destination);
	bool beside = tunnel && way->ifindex == tunnel->way.ifindex && nk_is_its_node(tunnel);

	return beside ? NULL : tunnel;
}

/* False: there is neither. */
static __always_inline bool nk_find_onward(struct nk_way *way, const struct nk_remote *remote,
					   const struct nk_tunnel *tunnel)
{
	if (remote)
		nk_way_to_remote(way, remote);
	else if (tunnel)
		nk_way_to_tunnel(way, tunnel);
	return remote || tunnel;
}

/* By the uplink that `way` names, to whoever `route` is for. */
static __always_inline void nk_way_outside(struct __sk_buff *ctx, struct nk_way *way, struct bpf_fib_lookup *route)
{
	nk_way_to_stack(way);
	way->kind = NK_WAY_OUTSIDE;
	way->tick = nk_tick();
	way->nexthop.nh_family = 0;
	route->ifindex = way->ifindex;
	route->tot_len = 1; /* else a packet that is too large would have no way */
	if (bpf_fib_lookup(ctx, route, sizeof(*route), BPF_FIB_LOOKUP_OUTPUT | BPF_FIB_LOOKUP_SKIP_NEIGH) ||
	    route->ifindex != way->ifindex)
		return;
	way->nexthop.nh_family = route->family;
	__builtin_memcpy(way->nexthop.ipv6_nh, route->ipv6_dst, sizeof(way->nexthop.ipv6_nh));
}

static __noinline void nk_way_outside4(struct __sk_buff *ctx, struct nk_way *way, __u32 source, __u32 destination)
{
	struct bpf_fib_lookup route = { .family = NK_AF_INET, .ipv4_src = source, .ipv4_dst = destination };

	nk_way_outside(ctx, way, &route);
}

static __noinline void nk_way_outside6(struct __sk_buff *ctx, struct nk_way *way, const struct nk_pair6 *pair)
{
	struct bpf_fib_lookup route = { .family = NK_AF_INET6 };

	__builtin_memcpy(route.ipv6_src, pair, sizeof(*pair));
	nk_way_outside(ctx, way, &route);
}

/* `uplink`: by which to leave, should the packet go outside. */
static __always_inline bool nk_is_other_way(const struct nk_way *way, __u32 uplink)
{
	return (way->kind == NK_WAY_OUTSIDE && way->ifindex != uplink) || (!way->mtu && way->tick != nk_tick());
}

/* What is in the flow's way names the uplink. */
static __noinline void nk_resolve_onward4(struct __sk_buff *ctx, struct nk_flow4 *flow, __u64 epoch,
					  const struct nk_pair4 *pair, __u32 hook)
{
	const __u32 *destination = (const __u32 *)pair + 1;
	const struct nk_remote *remote;
	const struct nk_endpoint *ep;

	nk_after_epoch(&flow->epoch);
	ep = nk_endpoint4(destination);
	if (ep) {
		nk_way_inside(ctx, &flow->way, ep, hook);
	} else if (nk_config.services && nk_is_self4(*destination)) {
		nk_way_to_node(&flow->way);
	} else {
		remote = nk_remote4(*destination);
		if (!nk_find_onward(&flow->way, remote, remote ? NULL : nk_tunnel_onward4(&flow->way, *destination)))
			nk_way_outside4(ctx, &flow->way, *(const __u32 *)pair, *destination);
	}
	nk_flow4_set(flow, epoch, NK_FLOW_TRANSLATED(hook), pair);
}

static __noinline void nk_resolve_onward6(struct __sk_buff *ctx, struct nk_flow6 *flow, __u64 epoch,
					  const struct nk_pair6 *pair, __u32 hook)
{
	const void *destination = &pair->word[2];
	const struct nk_remote *remote;
	const struct nk_endpoint *ep;

	nk_after_epoch(&flow->epoch);
	ep = nk_endpoint6(destination);
	if (ep) {
		nk_way_inside(ctx, &flow->way, ep, hook);
	} else if (nk_config.services && nk_is_self6(destination)) {
		nk_way_to_node(&flow->way);
	} else {
		remote = nk_remote6(destination);
		if (!nk_find_onward(&flow->way, remote, remote ? NULL : nk_tunnel_onward6(&flow->way, destination)))
			nk_way_outside6(ctx, &flow->way, pair);
	}
	nk_flow6_set(flow, epoch, NK_FLOW_TRANSLATED(hook), pair);
}

/* For a packet that will have these ends. mtu 0: to neither a pod nor a node of ours, so by `uplink`. */
static __always_inline struct nk_way *nk_onward4(struct __sk_buff *ctx, const struct nk_tuple *to, __u32 uplink,
						 __u32 hook)
{
	const __u32 ends[2] = { to->source[3], to->destination[3] };
	struct nk_pair4 pair;
	struct nk_flow4 *flow;
	__u64 epoch = nk_epoch();

	__builtin_memcpy(&pair, ends, sizeof(pair));
	flow = nk_flow4(&pair);
	if (likely(flow) && unlikely(!nk_flow4_is(flow, epoch, NK_FLOW_TRANSLATED(hook), &pair) ||
				     nk_is_other_way(&flow->way, uplink))) {
		flow->way.ifindex = uplink;
		nk_resolve_onward4(ctx, flow, epoch, &pair, hook);
	}
	return flow ? &flow->way : NULL;
}

static __always_inline struct nk_way *nk_onward6(struct __sk_buff *ctx, const struct nk_tuple *to, __u32 uplink,
						 __u32 hook)
{
	const struct nk_pair6 *pair = (const void *)to->source;
	struct nk_flow6 *flow = nk_flow6(pair);
	__u64 epoch = nk_epoch();

	if (likely(flow) && unlikely(!nk_flow6_is(flow, epoch, NK_FLOW_TRANSLATED(hook), pair) ||
				     nk_is_other_way(&flow->way, uplink))) {
		flow->way.ifindex = uplink;
		nk_resolve_onward6(ctx, flow, epoch, pair, hook);
	}
	return flow ? &flow->way : NULL;
}

/* Out of line: translated packets have several places to leave from. */
static __noinline int nk_go_by_tunnel(struct __sk_buff *ctx, struct nk_way *way, __u32 hook)
{
	return nk_leave_by_tunnel(ctx, way, hook);
}

static __always_inline int nk_go_on(struct __sk_buff *ctx, struct ethhdr *eth, struct nk_way *way, __u32 hook)
{
	if (nk_enters_node(way))
		return hook == NK_HOOK_FROM_NETDEV ? nk_pass_on() : nk_accept(ctx);
	if (hook == NK_HOOK_FROM_POD && !nk_pace(ctx, way))
		return nk_drop(ctx, hook, NK_DROP_BANDWIDTH);
	if (!way->mtu) {
		nk_mark_sent(ctx);
		if (likely(way->nexthop.nh_family))
			bpf_redirect_neigh(way->ifindex, &way->nexthop, sizeof(way->nexthop), 0);
		else
			bpf_redirect_neigh(way->ifindex, NULL, 0, 0);
		return TCX_REDIRECT;
	}
	if (nk_config.vni && way->kind >= NK_WAY_TUNNEL)
		return nk_go_by_tunnel(ctx, way, hook);
	return nk_leave(ctx, eth, way);
}

/* From uplink to uplink, without a tunnel. */
static __always_inline bool nk_is_express(const struct nk_way *way, __u32 hook)
{
	return nk_config.express && hook == NK_HOOK_FROM_NETDEV &&
	       (way->kind == NK_WAY_REMOTE || way->kind == NK_WAY_OUTSIDE);
}

/* Whether all that leaves will fit; segments that the device cuts later count one by one. */
static __always_inline bool nk_goes_through(const struct __sk_buff *ctx, const struct nk_packet *packet, __u32 mtu)
{
	__u32 headers = packet->at - ETH_HLEN + packet->header;

	if (likely(ctx->len - ETH_HLEN <= mtu))
		return true;
	return ctx->gso_size && ctx->gso_size + headers <= mtu;
}
