/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Handing a packet to a device. The hop count goes down as in any router; callers have seen it above 1, since the stack
 * answers the others. Verdicts are constants: the redirect helpers called here cannot fail (no flags, whole
 * parameters).
 */
#pragma once

#include "lib/endpoints.h"
#include "lib/flow.h"
#include "lib/parse.h"
#include "lib/remotes.h"
#include "lib/sent.h"
#include "lib/tunnels.h"

#define NK_ANY_SIZE (~0U)

/* The sum of an IPv4 header stays as it was, so a checksum over the whole packet (CHECKSUM_COMPLETE) stays right. */
static __always_inline void nk_hop4(struct iphdr *ip)
{
	__u32 check = ip->check + bpf_htons(0x0100);

	ip->check = (__u16)(check + (check >= 0xffff));
	ip->ttl--;
}

/* IPv6 has no header checksum that would balance the change: a checksum over the whole packet goes down by one. */
static __always_inline void nk_hop6(struct __sk_buff *ctx, struct ipv6hdr *ip)
{
	ip->hop_limit--;
	bpf_csum_update(ctx, (__u16)~bpf_htons(1));
}

static __always_inline void nk_way_to_stack(struct nk_way *way)
{
	way->mtu = 0;
}

/*
 * The way to a pod of this node, with the MACs that its device wants. `direct`: this program knows how to go past the
 * device, if the pod may be entered so.
 */
static __always_inline void nk_way_to_pod(struct nk_way *way, const struct nk_endpoint *ep, bool direct)
{
	const __u32 *macs = (const void *)ep->pod_mac;
	const struct nk_device *device = direct ? nk_device(ep->ifindex) : NULL;

	way->kind = device && device->flags & NK_EP_DIRECT ? NK_WAY_PEER : NK_WAY_DEVICE;
	way->ifindex = ep->ifindex;
	way->mtu = NK_ANY_SIZE;
	way->macs[0] = macs[0];
	way->macs[1] = macs[1];
	way->macs[2] = macs[2];
}

/* The way to another node: the next hop is known, so the kernel only resolves the neighbour. */
static __always_inline void nk_way_to_remote(struct nk_way *way, const struct nk_remote *remote)
{
	way->kind = NK_WAY_REMOTE;
	way->ifindex = remote->ifindex;
	way->mtu = remote->mtu;
	__builtin_memcpy(&way->nexthop, &remote->nexthop_family, sizeof(way->nexthop));
}

static __always_inline void nk_way_to_tunnel(struct nk_way *way, const struct nk_tunnel *tunnel)
{
	bool ipv4 = tunnel->family == NK_AF_INET && tunnel->way.nexthop_family == NK_AF_INET;

	nk_way_to_remote(way, &tunnel->way);
	way->kind = ipv4 ? NK_WAY_WRAP : NK_WAY_TUNNEL;
	if (ipv4) {
		way->ends.node = *(const __u32 *)tunnel->node.bytes;
		way->ends.local = *(const __u32 *)tunnel->local.bytes;
	}
}

/*
 * Both MACs of the frame. Zero for a netkit device in L3 mode, which wants just that: it would take a frame with
 * another device's MAC for somebody else's.
 */
static __always_inline void nk_set_macs(struct ethhdr *eth, const struct nk_way *way)
{
	__u32 *macs = (void *)eth;

	macs[0] = way->macs[0];
	macs[1] = way->macs[1];
	macs[2] = way->macs[2];
}

/* Into the pod's namespace, and to_pod does not run; or to its host end, where it does. */
static __always_inline int nk_enter(struct __sk_buff *ctx, struct ethhdr *eth, const struct nk_way *way)
{
	nk_set_macs(eth, way);
	if (likely(way->kind == NK_WAY_PEER)) {
		bpf_redirect_peer(way->ifindex, 0);
	} else {
		nk_mark_sent(ctx);
		bpf_redirect(way->ifindex, 0);
	}
	return TCX_REDIRECT;
}

/* From a pod: to another one, or to another node. */
static __always_inline int nk_leave(struct __sk_buff *ctx, struct ethhdr *eth, struct nk_way *way)
{
	if (way->kind != NK_WAY_REMOTE)
		return nk_enter(ctx, eth, way);
	nk_mark_sent(ctx);
	bpf_redirect_neigh(way->ifindex, &way->nexthop, sizeof(way->nexthop), 0);
	return TCX_REDIRECT;
}

/*
 * Whether every packet that leaves will fit: segments that the device cuts later count one by one. Only for TCP without
 * extension headers is that known here; the stack takes the rest, and answers what is too big.
 */
static __always_inline bool nk_fits(struct __sk_buff *ctx, const struct nk_way *way, __u32 ip_bytes, __u8 protocol)
{
	__u8 data_offset;

	if (likely(ctx->len - ETH_HLEN <= way->mtu))
		return true;
	if (!ctx->gso_size || protocol != IPPROTO_TCP ||
	    bpf_skb_load_bytes(ctx, ETH_HLEN + ip_bytes + 12, &data_offset, sizeof(data_offset)))
		return false;
	return ctx->gso_size + ip_bytes + (data_offset >> 4) * 4 <= way->mtu;
}
