/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * On the uplink: out of a tunnel and into the pod at once, past the socket and the queue of the overlay's device. Only
 * for packets that from_overlay has just decided about, by inner addresses and both ends of the tunnel, and only when
 * nothing of them is out of the ordinary; nothing is decided or refused here. All others go on as they are.
 *
 * Segments that were put together on the way in stay with the device: it knows how to tell the pieces' kind again.
 *
 * Functions of their own, because clang folds one check of a packet's length into another, and the verifier loses it.
 */
#pragma once

#include "lib/deliver.h"
#include "lib/encap.h"
#include "lib/untouched.h"

/* A whole VXLAN packet of our network between nodes of ours, as nk_write_wrapping() and the device make them. */
static __always_inline bool nk_is_wrapped(const struct __sk_buff *ctx, const struct ethhdr *eth)
{
	const struct iphdr *ip = (const void *)(eth + 1);
	const __u32 *word = (const void *)ip;
	__u32 bytes = ctx->len - ETH_HLEN;

	return nk_first_byte(ip) == NK_IPV4_PLAIN && bpf_ntohs(ip->tot_len) == bytes &&
	       !(ip->frag_off & bpf_htons(0x3fff)) &&
	       /* Congestion on the way has to be told inside (RFC 6040), which the device does. */
	       (ip->tos & 3) != 3 && *(const __u16 *)((const void *)word + 22) == nk_config.vxlan_port &&
	       /* Without a checksum, which would have to be looked at. */
	       word[6] == bpf_htonl((bytes - 20) << 16) && word[7] == NK_VXLAN_HAS_VNI &&
	       word[8] == bpf_htonl(nk_config.vni << 8) && word[9] == NK_OVERLAY_WORD0 &&
	       word[10] == NK_OVERLAY_WORD1 && word[11] == NK_OVERLAY_WORD2;
}

static __always_inline bool nk_is_between(const struct iphdr *outer, const struct nk_way *way)
{
	return outer->saddr == way->sender && outer->daddr == way->receiver;
}

static __always_inline bool nk_take_off(struct __sk_buff *ctx, __u64 flags)
{
	return !bpf_skb_adjust_room(ctx, -NK_WRAPPING, BPF_ADJ_ROOM_MAC, flags);
}

static __always_inline int nk_unwrap4(struct __sk_buff *ctx, const struct iphdr *outer, const struct iphdr *ip)
{
	struct nk_flow4 *flow = nk_flow4(nk_pair4(ip));
	struct ethhdr *eth;

	if (!flow || !nk_flow4_is(flow, nk_epoch(), NK_FLOW_TUNNEL, nk_pair4(ip)) ||
	    !nk_is_between(outer, &flow->way) || nk_first_byte(ip) != NK_IPV4_PLAIN || ip->ttl <= 1)
		return NK_UNTOUCHED;
	if (unlikely(!nk_take_off(ctx, BPF_F_ADJ_ROOM_DECAP_L3_IPV4)))
		return NK_UNTOUCHED;
	eth = nk_linear(ctx, ETH_HLEN + sizeof(*ip));
	if (unlikely(!eth))
		return TCX_DROP;
	nk_hop4((void *)(eth + 1));
	return nk_enter(ctx, eth, &flow->way);
}

/* With an outer packet that is in order. */
static __noinline int nk_unwrap6(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_linear(ctx, ETH_HLEN + NK_WRAPPING + sizeof(struct ipv6hdr));
	const struct iphdr *outer;
	const struct ipv6hdr *ip;
	struct nk_flow6 *flow;

	if (!eth)
		return NK_UNTOUCHED;
	outer = (const void *)(eth + 1);
	ip = (const void *)outer + NK_WRAPPING;
	flow = nk_flow6(nk_pair6(ip));
	if (!flow || !nk_flow6_is(flow, nk_epoch(), NK_FLOW_TUNNEL, nk_pair6(ip)) ||
	    !nk_is_between(outer, &flow->way) || nk_first_byte(ip) >> 4 != 6 || ip->hop_limit <= 1)
		return NK_UNTOUCHED;
	if (unlikely(!nk_take_off(ctx, BPF_F_ADJ_ROOM_DECAP_L3_IPV6)))
		return NK_UNTOUCHED;
	eth = nk_linear(ctx, ETH_HLEN + sizeof(*ip));
	if (unlikely(!eth))
		return TCX_DROP;
	eth->h_proto = bpf_htons(ETH_P_IPV6);
	nk_hop6(ctx, (void *)(eth + 1));
	return nk_enter(ctx, eth, &flow->way);
}

/* REDIRECT or DROP; NK_UNTOUCHED: the packet is as it was, but may have moved. */
static __noinline int nk_unwrap(struct __sk_buff *ctx)
{
	struct ethhdr *eth = nk_linear(ctx, ETH_HLEN + NK_WRAPPING + sizeof(struct iphdr));
	__u16 protocol;

	if (!eth || ctx->gso_size || !nk_is_wrapped(ctx, eth))
		return NK_UNTOUCHED;
	protocol = *(const __u16 *)((const void *)eth + ETH_HLEN + NK_WRAPPING - 2);
	if (protocol == bpf_htons(ETH_P_IP))
		return nk_unwrap4(ctx, (const void *)(eth + 1), (const void *)(eth + 1) + NK_WRAPPING);
	return protocol == bpf_htons(ETH_P_IPV6) ? nk_unwrap6(ctx) : NK_UNTOUCHED;
}
