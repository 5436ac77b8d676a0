/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP echo (RFC 792, RFC 4443), whose identifier stands for both ports (RFC 5508, 3.1). Only there where programs
 * masquerade: nobody asks a service for it.
 */
#pragma once

#include "lib/config.h"
#include "lib/tuple.h"

struct nk_echo {
	__u8 type;
	__u8 code;
	__u16 check;
	__u16 id;
	__u16 sequence;
};

#define NK_ECHO4_REQUEST 8
#define NK_ECHO4_REPLY	 0
#define NK_ECHO6_REQUEST 128
#define NK_ECHO6_REPLY	 129

static __always_inline bool nk_is_echo(const struct nk_tuple *tuple)
{
	return nk_config.masquerade && (tuple->protocol == IPPROTO_ICMP || tuple->protocol == IPPROTO_ICMPV6);
}

/* A request begins, as a SYN does, and a reply does not. */
static __noinline bool nk_parse_echo(struct __sk_buff *ctx, struct nk_packet *packet)
{
	bool v6 = packet->tuple.protocol == IPPROTO_ICMPV6;
	struct nk_echo echo;

	if (bpf_skb_load_bytes(ctx, packet->at, &echo, sizeof(echo)) || echo.code)
		return false;
	if (echo.type == (v6 ? NK_ECHO6_REQUEST : NK_ECHO4_REQUEST))
		packet->flags = NK_TCP_SYN;
	else if (echo.type == (v6 ? NK_ECHO6_REPLY : NK_ECHO4_REPLY))
		packet->flags = NK_TCP_ACK;
	else
		return false;
	packet->header = sizeof(echo);
	packet->tuple.source_port = echo.id;
	packet->tuple.destination_port = echo.id;
	return true;
}

static __always_inline __u32 nk_difference_of_id(const struct nk_tuple *from, const struct nk_tuple *to)
{
	return (__u16)~from->source_port + to->source_port;
}

/* The identifier, in a header whose checksum follows it. Addresses, of which ICMPv6's sum is too, are the caller's. */
static __noinline void nk_write_echo(struct __sk_buff *ctx, const struct nk_packet *packet, const struct nk_tuple *to)
{
	__u32 check = packet->at + offsetof(struct nk_echo, check);

	bpf_l4_csum_replace(ctx, check, 0, nk_difference_of_id(&packet->tuple, to), 0);
	bpf_skb_store_bytes(ctx, packet->at + offsetof(struct nk_echo, id), &to->source_port, sizeof(to->source_port),
			    0);
}

/* The tuple of answers to a request that is quoted. */
static __always_inline bool nk_parse_quoted_echo(struct __sk_buff *ctx, struct nk_packet *packet)
{
	return nk_is_echo(&packet->tuple) && nk_parse_echo(ctx, packet) && packet->flags == NK_TCP_SYN;
}
