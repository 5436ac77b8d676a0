/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Limits of what pods send away from the node: each packet gets the earliest time at which it may depart, and the
 * queueing discipline fq of the uplink keeps to it. Between pods of the node, and to the node itself, nothing is
 * limited: there is no fq on the way. Only there on nodes with bandwidth.enabled.
 */
#pragma once

#include "lib/encap.h"
#include "lib/endpoints.h"
#include "lib/parse.h"
#include "lib/tunnels.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct nk_pace);
	__uint(max_entries, 1);
} nk_pace_v1 SEC(".maps");

static __always_inline struct nk_pace *nk_pace_of(const struct __sk_buff *ctx)
{
	__u32 ifindex = ctx->ifindex;

	return bpf_map_lookup_elem(&nk_pace_v1, &ifindex);
}

/* Of each segment that the device will cut, Ethernet header included. */
static __always_inline __u32 nk_segment_headers(struct __sk_buff *ctx)
{
	bool ipv4 = ctx->protocol == bpf_htons(ETH_P_IP);
	__u32 bytes = ETH_HLEN + sizeof(struct ipv6hdr);
	__u8 first, protocol = 0;

	if (bpf_skb_load_bytes(ctx,
			       ETH_HLEN + (ipv4 ? offsetof(struct iphdr, protocol) : offsetof(struct ipv6hdr, nexthdr)),
			       &protocol, sizeof(protocol)))
		return bytes;
	if (ipv4 && !bpf_skb_load_bytes(ctx, ETH_HLEN, &first, sizeof(first)))
		bytes = ETH_HLEN + (first & 0xf) * 4;
	if (protocol != IPPROTO_TCP)
		return bytes + 8;
	return bpf_skb_load_bytes(ctx, bytes + 12, &first, sizeof(first)) ? bytes : bytes + (first >> 4) * 4;
}

/* As queueing disciplines count: with the Ethernet header, and each segment for itself. `around`: a tunnel's headers.
 */
static __always_inline __u32 nk_wire_bytes(struct __sk_buff *ctx, __u32 around)
{
	__u32 size = ctx->gso_size, headers, payload;

	if (!size)
		return ctx->len + around;
	headers = nk_segment_headers(ctx);
	if (ctx->len <= headers)
		return ctx->len + around;
	payload = ctx->len - headers;
	return payload + (payload + size - 1) / size * (headers + around);
}

/* False: too much waits already. */
static __noinline bool nk_depart_in_turn(struct __sk_buff *ctx, struct nk_pace *pace, __u32 around)
{
	__u64 now = bpf_ktime_get_ns(), next = pace->next_ns, own, rate = pace->bytes_per_s,
	      floor = now > pace->burst_ns ? now - pace->burst_ns : 0; /* a node may be up for less than a burst */

	if (!rate)
		return true;
	if (next > now + pace->horizon_ns)
		return false;
	/* What was not sent in idle time may be sent now, as far as the burst goes: by whoever of the CPUs is first. */
	if (next < floor)
		__sync_val_compare_and_swap(&pace->next_ns, next, floor);
	next = __sync_fetch_and_add(&pace->next_ns, nk_wire_bytes(ctx, around) * NK_NS_PER_S / rate);
	/* A socket of the pod may want to be slower than that. */
	own = ctx->tstamp_type == BPF_SKB_TSTAMP_DELIVERY_MONO ? ctx->tstamp : 0;
	if (next > now && next > own)
		bpf_skb_set_tstamp(ctx, next, BPF_SKB_TSTAMP_DELIVERY_MONO);
	return true;
}

/* By `way`, which leads to another node or outside. False: the packet has to be dropped. */
static __always_inline bool nk_pace(struct __sk_buff *ctx, const struct nk_way *way)
{
	struct nk_pace *pace;
	__u32 around = 0;

	if (!nk_config.bandwidth || (way->mtu && (way->kind == NK_WAY_DEVICE || way->kind == NK_WAY_PEER)))
		return true;
	pace = nk_pace_of(ctx);
	if (!pace)
		return true;
	/* Whatever cannot be wrapped here has an outer IPv6 header, or goes by way of an IPv6 neighbour. */
	if (way->mtu && way->kind >= NK_WAY_TUNNEL)
		around = way->kind == NK_WAY_WRAP ? NK_WRAPPING : NK_WRAPPING_IPV6;
	return nk_depart_in_turn(ctx, pace, around);
}
