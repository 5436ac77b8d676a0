// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tcx ingress of the overlay device: what other nodes have wrapped. A node may only send for its own pods and itself,
 * so the inner source decides who the outer one must be, and that is checked for each packet. What is for a pod goes
 * straight into it, what is for this node to the stack. Beside that any node may lead clients from outside to services
 * here (lib/direct.h). Nothing else is for anybody here. What is remembered of a pod's packet, from_netdev uses too
 * (lib/unwrap.h). Verdicts: DROP, REDIRECT, PASS; NEXT only where programs stand behind
 * ours (lib/verdict.h).
 */
#include <linux/if_packet.h>
#include "lib/address.h"
#include "lib/admit.h"
#include "lib/deliver.h"
#include "lib/drop.h"
#include "lib/encap.h"
#include "lib/tunnels.h"
#include "lib/verdict.h"

static __always_inline int refuse(struct __sk_buff *ctx, __u32 reason)
{
	return nk_drop(ctx, NK_HOOK_FROM_OVERLAY, reason);
}

static __noinline int refuse_source(struct __sk_buff *ctx)
{
	return refuse(ctx, nk_in_our_network(ctx) ? NK_DROP_OVERLAY_SPOOF : NK_DROP_OVERLAY_FOREIGN);
}

/* Not for a pod. The kernel forwards nothing that it has an address of; without forwarding, nothing at all. */
static __always_inline bool is_for_node(struct __sk_buff *ctx, struct bpf_fib_lookup *route)
{
	long answer = bpf_fib_lookup(ctx, route, sizeof(*route), 0);

	if (answer == BPF_FIB_LKUP_RET_NOT_FWDED || answer == BPF_FIB_LKUP_RET_FWD_DISABLED)
		return true;
	refuse(ctx, NK_DROP_OVERLAY_FOREIGN);
	return false;
}

/* False: refused. */
static __noinline bool is_for_node4(struct __sk_buff *ctx, const struct iphdr *ip)
{
	struct bpf_fib_lookup route = {
		.family = NK_AF_INET, .ifindex = ctx->ifindex, .ipv4_src = ip->saddr, .ipv4_dst = ip->daddr
	};

	if (!nk_loopback4(ip->daddr))
		return is_for_node(ctx, &route);
	refuse(ctx, NK_DROP_LOOPBACK);
	return false;
}

static __noinline bool is_for_node6(struct __sk_buff *ctx, const struct ipv6hdr *ip)
{
	struct bpf_fib_lookup route = { .family = NK_AF_INET6, .ifindex = ctx->ifindex };
	bool loopback = nk_loopback6(&ip->daddr);

	if (loopback || nk_first_byte(&ip->daddr) == 0xff) {
		refuse(ctx, loopback ? NK_DROP_LOOPBACK : NK_DROP_OVERLAY_FOREIGN);
		return false;
	}
	__builtin_memcpy(route.ipv6_src, &ip->saddr, sizeof(route.ipv6_src));
	__builtin_memcpy(route.ipv6_dst, &ip->daddr, sizeof(route.ipv6_dst));
	return is_for_node(ctx, &route);
}

enum found { REFUSED, LED_HERE, TO_NODE, TO_STACK, TO_POD };

/* There is no room to remember IPv6 ones: flows between those are looked up each time. */
static __always_inline void remember_ends(struct nk_way *way, const struct nk_tunnel *owner)
{
	way->sender = *(const __u32 *)owner->node.bytes;
	way->receiver = *(const __u32 *)owner->local.bytes;
}

/* For a packet that nothing is remembered of. */
static __noinline int resolve4(struct __sk_buff *ctx, struct nk_flow4 *flow, __u64 epoch, const struct iphdr *ip)
{
	const struct nk_tunnel *owner;
	const struct nk_endpoint *ep;

	nk_after_epoch(&flow->epoch);
	owner = nk_tunnel4(ip->saddr);
	if (!owner && nk_config.services && nk_may_forward())
		return LED_HERE;
	if (!owner || !nk_came_from(ctx, owner)) {
		refuse_source(ctx);
		return REFUSED;
	}
	ep = nk_endpoint4(&ip->daddr);
	if (!ep)
		return TO_NODE;
	if (!nk_may_forward() || ep->flags & NK_EP_STACK)
		return TO_STACK;
	nk_way_to_pod(&flow->way, ep, true);
	remember_ends(&flow->way, owner);
	nk_flow4_set(flow, owner->family == NK_AF_INET ? epoch : 0, NK_FLOW_TUNNEL, nk_pair4(ip));
	return TO_POD;
}

static __noinline bool is_from_node(struct __sk_buff *ctx)
{
	const struct nk_tunnel *tunnel;
	struct bpf_tunnel_key key;

	if (!bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), 0)) {
		tunnel = nk_tunnel4(bpf_htonl(key.remote_ipv4));
		return tunnel && nk_is_its_node(tunnel) && key.tunnel_id == nk_config.vni;
	}
	if (bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), BPF_F_TUNINFO_IPV6))
		return false;
	tunnel = nk_tunnel6(key.remote_ipv6);
	return tunnel && nk_is_its_node(tunnel) && key.tunnel_id == nk_config.vni;
}

static __noinline bool is_led4(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_ipv4_frame(ctx);

	return eth && is_from_node(ctx) &&
	       nk_client4(((const struct iphdr *)(eth + 1))->saddr, NK_HOOK_FROM_OVERLAY) == NK_CLIENT_OUTSIDE;
}

/* Clients from outside whom a node of ours has led to a service's pods here; nobody else of theirs comes this way. */
static __noinline int led_here4(struct __sk_buff *ctx)
{
	int verdict = is_led4(ctx) ? nk_serve4(ctx, NK_HOOK_FROM_OVERLAY, false) : NK_UNTOUCHED;

	return verdict == NK_UNTOUCHED ? refuse_source(ctx) : verdict;
}

/* Answers to whom this node has translated, and who asks it for a service; else the node itself. */
static __noinline int to_node4(struct __sk_buff *ctx)
{
	int verdict =
		nk_config.services && nk_may_forward() ? nk_serve4(ctx, NK_HOOK_FROM_OVERLAY, true) : NK_UNTOUCHED;
	struct ethhdr *eth;

	if (verdict != NK_UNTOUCHED)
		return verdict;
	eth = nk_ipv4_frame(ctx);
	if (unlikely(!eth))
		return refuse(ctx, NK_DROP_MALFORMED);
	return is_for_node4(ctx, (const struct iphdr *)(eth + 1)) ? nk_accept(ctx) : TCX_DROP;
}

static __always_inline int from_overlay4(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_ipv4_frame(ctx);
	struct nk_flow4 *flow;
	struct iphdr *ip;
	__u64 epoch;

	if (unlikely(!eth))
		return refuse(ctx, NK_DROP_MALFORMED);
	ip = (void *)(eth + 1);
	if (unlikely(nk_first_byte(ip) >> 4 != 4))
		return refuse(ctx, NK_DROP_MALFORMED);
	epoch = nk_epoch();
	flow = nk_flow4(nk_pair4(ip));
	if (unlikely(!flow))
		return refuse(ctx, NK_DROP_UNSPEC);
	if (likely(nk_flow4_is(flow, epoch, NK_FLOW_TUNNEL, nk_pair4(ip)))) {
		if (unlikely(!nk_came_from4(ctx, flow->way.sender)))
			return refuse_source(ctx);
	} else {
		int found = resolve4(ctx, flow, epoch, ip);

		if (found == REFUSED)
			return TCX_DROP;
		if (found == LED_HERE)
			return led_here4(ctx);
		if (found == TO_NODE)
			return to_node4(ctx);
		if (found == TO_STACK)
			return nk_accept(ctx);
	}
	if (!nk_may_forward() || unlikely(nk_first_byte(ip) != NK_IPV4_PLAIN || ip->ttl <= 1))
		return nk_accept(ctx);
	nk_hop4(ip);
	return nk_enter(ctx, eth, &flow->way);
}

/* For a packet that nothing is remembered of. */
static __noinline int resolve6(struct __sk_buff *ctx, struct nk_flow6 *flow, __u64 epoch, const struct ipv6hdr *ip)
{
	const struct nk_tunnel *owner;
	const struct nk_endpoint *ep;

	nk_after_epoch(&flow->epoch);
	owner = nk_tunnel6(&ip->saddr);
	if (!owner && nk_config.services && nk_may_forward())
		return LED_HERE;
	if (!owner || !nk_came_from(ctx, owner)) {
		refuse_source(ctx);
		return REFUSED;
	}
	ep = nk_endpoint6(&ip->daddr);
	if (!ep)
		return TO_NODE;
	if (!nk_may_forward() || ep->flags & NK_EP_STACK)
		return TO_STACK;
	nk_way_to_pod(&flow->way, ep, true);
	remember_ends(&flow->way, owner);
	nk_flow6_set(flow, owner->family == NK_AF_INET ? epoch : 0, NK_FLOW_TUNNEL, nk_pair6(ip));
	return TO_POD;
}

static __noinline bool is_led6(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_ipv6_frame(ctx);

	return eth && is_from_node(ctx) &&
	       nk_client6((const void *)&((const struct ipv6hdr *)(eth + 1))->saddr, NK_HOOK_FROM_OVERLAY) ==
		       NK_CLIENT_OUTSIDE;
}

/* As led_here4(). */
static __noinline int led_here6(struct __sk_buff *ctx)
{
	int verdict = is_led6(ctx) ? nk_serve6(ctx, NK_HOOK_FROM_OVERLAY, false) : NK_UNTOUCHED;

	return verdict == NK_UNTOUCHED ? refuse_source(ctx) : verdict;
}

/* Answers to whom this node has translated, and who asks it for a service; else the node itself. */
static __noinline int to_node6(struct __sk_buff *ctx)
{
	int verdict =
		nk_config.services && nk_may_forward() ? nk_serve6(ctx, NK_HOOK_FROM_OVERLAY, true) : NK_UNTOUCHED;
	struct ethhdr *eth;

	if (verdict != NK_UNTOUCHED)
		return verdict;
	eth = nk_ipv6_frame(ctx);
	if (unlikely(!eth))
		return refuse(ctx, NK_DROP_MALFORMED);
	return is_for_node6(ctx, (const struct ipv6hdr *)(eth + 1)) ? nk_accept(ctx) : TCX_DROP;
}

static __always_inline int from_overlay6(struct __sk_buff *ctx)
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
	epoch = nk_epoch();
	flow = nk_flow6(nk_pair6(ip));
	if (unlikely(!flow))
		return refuse(ctx, NK_DROP_UNSPEC);
	if (likely(nk_flow6_is(flow, epoch, NK_FLOW_TUNNEL, nk_pair6(ip)))) {
		if (unlikely(!nk_came_from4(ctx, flow->way.sender)))
			return refuse_source(ctx);
	} else {
		int found = resolve6(ctx, flow, epoch, ip);

		if (found == REFUSED)
			return TCX_DROP;
		if (found == LED_HERE)
			return led_here6(ctx);
		if (found == TO_NODE)
			return to_node6(ctx);
		if (found == TO_STACK)
			return nk_accept(ctx);
	}
	if (!nk_may_forward() || unlikely(ip->hop_limit <= 1))
		return nk_accept(ctx);
	nk_hop6(ctx, ip);
	return nk_enter(ctx, eth, &flow->way);
}

SEC("tc")
int nk_from_overlay(struct __sk_buff *ctx)
{
	if (unlikely(ctx->vlan_present))
		return refuse(ctx, NK_DROP_UNSUPPORTED_L3);
	/* No frame of ours has another MAC, and the stack would not take it. */
	if (unlikely(ctx->pkt_type != PACKET_HOST))
		return refuse(ctx, NK_DROP_OVERLAY_FOREIGN);
	if (ctx->protocol == bpf_htons(ETH_P_IP))
		return from_overlay4(ctx);
	if (ctx->protocol == bpf_htons(ETH_P_IPV6))
		return from_overlay6(ctx);
	return refuse(ctx, NK_DROP_UNSUPPORTED_L3);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
