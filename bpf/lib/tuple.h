/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a packet says of the connection that it belongs to, alike for both families. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include "abi/connection.h"
#include "lib/flow.h"
#include "lib/mapped.h"
#include "lib/parse.h"

#define NK_TCP_BYTES   20
#define NK_UDP_BYTES   8
#define NK_LATEST_BYTE 0xff /* where a transport's header can begin, a mask: no extension headers are followed */

/* The 14th byte of a TCP header. */
#define NK_TCP_FIN 0x01
#define NK_TCP_SYN 0x02
#define NK_TCP_RST 0x04
#define NK_TCP_ACK 0x10

#define NK_WHOLE	  0
#define NK_FIRST_FRAGMENT 1
#define NK_LATER_FRAGMENT 2 /* has no ports of its own */

struct nk_packet {
	struct nk_tuple tuple __attribute__((aligned(8)));
	__u32 at;      /* the transport's header, from the start of the frame; 0: it has none */
	__u32 quoted;  /* an ICMP error: the IP header of the packet that it is about, whose answers have the tuple */
	__u32 id;      /* of fragments */
	__u8 flags;    /* TCP's; ICMP echo: SYN of a request, ACK of a reply; else 0 */
	__u8 hops;     /* that are left */
	__u8 header;   /* bytes of the transport's header */
	__u8 fragment; /* NK_WHOLE, … */
};

static __always_inline void nk_copy_address(__u32 *to, const void *from)
{
	__builtin_memcpy(to, from, 16);
}

/* The same connection in the other direction. */
static __always_inline void nk_reverse(struct nk_tuple *to, const struct nk_tuple *from)
{
	nk_copy_address(to->source, from->destination);
	nk_copy_address(to->destination, from->source);
	to->source_port = from->destination_port;
	to->destination_port = from->source_port;
	to->protocol = from->protocol;
	to->pad[0] = to->pad[1] = to->pad[2] = 0;
}

/* The same on every node, and for either family: nodes that know the same backends choose the same one. */
static __always_inline __u32 nk_hash_words(const __u64 *words, int count)
{
	__u64 hash = 0;

	for (int i = 0; i < count; i++) {
		hash = (hash ^ words[i]) * NK_GOLDEN_RATIO;
		hash ^= hash >> 32;
	}
	return hash;
}

static __always_inline __u32 nk_hash(const struct nk_packet *packet)
{
	return nk_hash_words((const void *)&packet->tuple, sizeof(packet->tuple) / 8);
}

/* Opaque: clang would mix these with other reads of the same, as 32 bits, and the verifier would lose them. */
static __always_inline void *nk_data(const struct __sk_buff *ctx)
{
	void *data;

	asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(data) : "r"(ctx), "i"(offsetof(struct __sk_buff, data)));
	return data;
}

static __always_inline void *nk_data_end(const struct __sk_buff *ctx)
{
	void *end;

	asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(end) : "r"(ctx), "i"(offsetof(struct __sk_buff, data_end)));
	return end;
}

/* `bytes` of the transport's header, or NULL. May pull: earlier packet pointers are invalid. */
static __always_inline void *nk_transport(struct __sk_buff *ctx, const struct nk_packet *packet, const __u32 bytes)
{
	__u32 at = packet->at & NK_LATEST_BYTE;
	void *header = nk_data(ctx) + at;

	if (likely(header + bytes <= nk_data_end(ctx)))
		return header;
	if (bpf_skb_pull_data(ctx, at + bytes))
		return NULL;
	header = nk_data(ctx) + at;
	return header + bytes <= nk_data_end(ctx) ? header : NULL;
}

/* Ports and flags. False: another protocol, or not a whole header. */
static __always_inline bool nk_parse_transport(struct __sk_buff *ctx, struct nk_packet *packet)
{
	const __u8 *header;

	packet->flags = 0;
	packet->header = NK_UDP_BYTES;
	if (packet->tuple.protocol == IPPROTO_TCP) {
		header = nk_transport(ctx, packet, NK_TCP_BYTES);
		if (unlikely(!header))
			return false;
		packet->flags = header[13];
		packet->header = header[12] >> 4 << 2;
	} else if (packet->tuple.protocol == IPPROTO_UDP) {
		header = nk_transport(ctx, packet, NK_UDP_BYTES);
		if (unlikely(!header))
			return false;
	} else {
		return false;
	}
	packet->tuple.source_port = ((const __u16 *)header)[0];
	packet->tuple.destination_port = ((const __u16 *)header)[1];
	return true;
}
