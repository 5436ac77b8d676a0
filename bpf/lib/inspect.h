/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a pod may not say, below the addresses: router advertisements (RFC 4861), redirects (RFC 792, RFC 4861), and
 * routes chosen by the sender (RFC 791 options LSRR and SSRR, RFC 5095 routing header 0); nor what a checksum would
 * make of what has been looked at here. Off the way of plain TCP and UDP. Both functions return a drop reason, or
 * NK_DROP_UNSPEC.
 */
#pragma once

#include "lib/checksum.h"
#include "lib/parse.h"

#define NK_MAX_HEADERS	  8  /* IPv6 extension headers that we follow; nobody sends more */
#define NK_OPTION_BYTES	  40 /* at most, in an IPv4 header */
#define NK_OPTION_END	  0
#define NK_OPTION_NOP	  1
#define NK_OPTION_LSRR	  131
#define NK_OPTION_SSRR	  137
#define NK_ICMP4_REDIRECT 5
#define NK_ICMP6_RA	  134
#define NK_ICMP6_REDIRECT 137

/* The first `bytes` of the frame stay as they are. */
static __always_inline int nk_inspect_checksum(struct __sk_buff *ctx, __u32 bytes)
{
	return nk_is_summed_within(ctx, bytes) ? NK_DROP_MALFORMED : NK_DROP_UNSPEC;
}

/* `at` and `end` count from the start of the frame. */
static __always_inline int nk_inspect_options(struct __sk_buff *ctx, __u32 at, __u32 end)
{
	for (int i = 0; i < NK_OPTION_BYTES && at < end; i++) {
		__u8 type, length;

		if (bpf_skb_load_bytes(ctx, at, &type, sizeof(type)))
			return NK_DROP_MALFORMED;
		if (type == NK_OPTION_END)
			return NK_DROP_UNSPEC;
		if (type == NK_OPTION_LSRR || type == NK_OPTION_SSRR)
			return NK_DROP_SOURCE_ROUTE;
		if (type == NK_OPTION_NOP) {
			at++;
			continue;
		}
		if (bpf_skb_load_bytes(ctx, at + 1, &length, sizeof(length)) || length < 2 || at + length > end)
			return NK_DROP_MALFORMED;
		at += length;
	}
	return NK_DROP_UNSPEC;
}

static __noinline int nk_inspect4(struct __sk_buff *ctx)
{
	struct iphdr ip;
	__u32 header;
	__u8 type;

	if (bpf_skb_load_bytes(ctx, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return NK_DROP_MALFORMED;
	header = ip.ihl * 4;
	if (header > sizeof(ip)) {
		int reason = nk_inspect_options(ctx, ETH_HLEN + sizeof(ip), ETH_HLEN + header);

		if (reason)
			return reason;
	}
	/* Only the first fragment has the ICMP header. */
	if (ip.protocol != IPPROTO_ICMP || ip.frag_off & bpf_htons(0x1fff))
		return nk_inspect_checksum(ctx, ETH_HLEN + header);
	if (bpf_skb_load_bytes(ctx, ETH_HLEN + header, &type, sizeof(type)))
		return NK_DROP_MALFORMED;
	return type == NK_ICMP4_REDIRECT ? NK_DROP_REDIRECT : nk_inspect_checksum(ctx, NK_WHOLE_FRAME);
}

static __always_inline int nk_inspect_icmp6(struct __sk_buff *ctx, __u32 offset)
{
	__u8 type;

	if (bpf_skb_load_bytes(ctx, offset, &type, sizeof(type)))
		return NK_DROP_MALFORMED;
	if (type == NK_ICMP6_RA)
		return NK_DROP_ROUTER_ADVERTISEMENT;
	return type == NK_ICMP6_REDIRECT ? NK_DROP_REDIRECT : nk_inspect_checksum(ctx, NK_WHOLE_FRAME);
}

/* Bytes of the extension header `next` that begins with `head`; 0 when it is none. */
static __always_inline __u32 nk_extension_bytes(__u8 next, const __u8 *head)
{
	switch (next) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_DSTOPTS:
	case IPPROTO_ROUTING:
		return (head[1] + 1U) * 8;
	case IPPROTO_FRAGMENT:
		return 8;
	case IPPROTO_AH:
		return (head[1] + 2U) * 4;
	default:
		return 0;
	}
}

static __noinline int nk_inspect6(struct __sk_buff *ctx)
{
	__u32 offset = ETH_HLEN + sizeof(struct ipv6hdr);
	__u8 next, head[4];

	if (bpf_skb_load_bytes(ctx, ETH_HLEN + offsetof(struct ipv6hdr, nexthdr), &next, sizeof(next)))
		return NK_DROP_MALFORMED;
	for (int i = 0; i < NK_MAX_HEADERS; i++) {
		__u32 bytes;

		if (next == IPPROTO_ICMPV6)
			return nk_inspect_icmp6(ctx, offset);
		if (!nk_extension_bytes(next, (const __u8[4]){}))
			return nk_inspect_checksum(ctx, offset);
		if (bpf_skb_load_bytes(ctx, offset, head, sizeof(head)))
			return NK_DROP_MALFORMED;
		if (next == IPPROTO_ROUTING && head[2] == 0)
			return NK_DROP_SOURCE_ROUTE;
		/* Behind a later fragment's header stands the middle of something, not a header. */
		if (next == IPPROTO_FRAGMENT && (head[2] || head[3] & 0xf8))
			return nk_inspect_checksum(ctx, offset + nk_extension_bytes(next, head));
		bytes = nk_extension_bytes(next, head);
		offset += bytes;
		next = head[0];
	}
	return NK_DROP_MALFORMED;
}
