/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a context to checked headers. Only Ethernet framing: a netkit device in L3 mode has it too, with zero MACs. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include "lib/base.h"

/*
 * The first `length` bytes in linear memory, or NULL when the packet is shorter. Nearly every packet has its headers
 * there already; a pull costs a call and makes earlier packet pointers invalid.
 */
static __always_inline void *nk_linear(struct __sk_buff *ctx, __u32 length)
{
	void *data = (void *)(long)ctx->data;

	if (likely(data + length <= (void *)(long)ctx->data_end))
		return data;
	if (bpf_skb_pull_data(ctx, length))
		return NULL;
	data = (void *)(long)ctx->data;
	return data + length <= (void *)(long)ctx->data_end ? data : NULL;
}

/*
 * The frame, if it holds all of an IP header of `bytes` and its Ethernet header says `protocol`, as skb->protocol did:
 * the latter is what the stack and bpf_redirect_neigh() go by, the former what the wire shows, and a pod with a raw
 * socket chooses both.
 */
static __always_inline struct ethhdr *nk_frame(struct __sk_buff *ctx, __u32 bytes, __u16 protocol)
{
	struct ethhdr *eth = nk_linear(ctx, sizeof(struct ethhdr) + bytes);

	return eth && *(const __u16 *)((const void *)eth + 12) == bpf_htons(protocol) ? eth : NULL;
}

static __always_inline struct ethhdr *nk_ipv4_frame(struct __sk_buff *ctx)
{
	return nk_frame(ctx, sizeof(struct iphdr), ETH_P_IP);
}

static __always_inline struct ethhdr *nk_ipv6_frame(struct __sk_buff *ctx)
{
	return nk_frame(ctx, sizeof(struct ipv6hdr), ETH_P_IPV6);
}

#define NK_IPV4_PLAIN 0x45 /* the first byte of an IPv4 header without options */

static __always_inline __u8 nk_first_byte(const void *header)
{
	return *(const __u8 *)header;
}
