/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An answer instead of silence, made of the refused packet itself: a reset (RFC 9293, 3.10.7), or an ICMP error (RFC
 * 792, RFC 4443) in the name of whom the sender has asked.
 *
 * The transport's checksum may be one that a device completes (CHECKSUM_PARTIAL), which cannot be seen, and stays with
 * the packet. bpf_l4_csum_replace() tells the two apart: from a field of 0, a difference d of the pseudo header and
 * then e of the rest make the field d if a device completes it, else ~(d + e).
 */
#pragma once

#include "lib/quoted.h"
#include "lib/route.h"

#define NK_ICMP4_MORE ((__u32)sizeof(struct iphdr) + NK_ICMP_BYTES)
#define NK_ICMP6_MORE ((__u32)sizeof(struct ipv6hdr) + NK_ICMP_BYTES)
#define NK_DONT_CUT   0x4000

/* Type and code, as in the header's first bytes. */
#define NK_ICMP(type, code) bpf_htonl((type) << 24 | (code) << 16)
#define NK_ICMP4_NO_PORT    NK_ICMP(3, 3)
#define NK_ICMP4_TOO_BIG    NK_ICMP(3, 4)
#define NK_ICMP4_LAST_HOP   NK_ICMP(11, 0)
#define NK_ICMP6_NO_PORT    NK_ICMP(1, 4)
#define NK_ICMP6_TOO_BIG    NK_ICMP(2, 0)
#define NK_ICMP6_LAST_HOP   NK_ICMP(3, 0)

static __always_inline void nk_set_checksum(struct __sk_buff *ctx, __u32 at, __u32 pseudo, __u32 rest)
{
	bpf_l4_csum_replace(ctx, at, 0, pseudo, BPF_F_PSEUDO_HDR);
	bpf_l4_csum_replace(ctx, at, 0, rest, 0);
}

static __always_inline __u64 nk_sum(const __u32 *words, int count)
{
	__u64 sum = 0;

	for (int i = 0; i < count; i++)
		sum += words[i];
	return sum;
}

/* Of both addresses; what the mapping of IPv4 adds is 0 in one's complement. */
static __always_inline __u64 nk_sum_ends(const struct nk_tuple *tuple)
{
	return nk_sum(tuple->source, 4) + nk_sum(tuple->destination, 4);
}

/* The transport's part of a reset; `bytes`: of the segment, its header included. */
static __noinline bool nk_write_reset(struct __sk_buff *ctx, const struct nk_packet *packet, __u32 bytes)
{
	const struct nk_tuple *asked = &packet->tuple;
	__u32 *word = nk_transport(ctx, packet, NK_TCP_BYTES);
	__u32 sequence, acknowledged = 0, flags = NK_TCP_RST;

	if (!word)
		return false;
	if (packet->flags & NK_TCP_ACK) {
		sequence = word[2];
	} else {
		bytes -= ((const __u8 *)word)[12] >> 4 << 2;
		bytes += !!(packet->flags & NK_TCP_SYN) + !!(packet->flags & NK_TCP_FIN);
		acknowledged = bpf_htonl(bpf_ntohl(word[1]) + bytes);
		flags |= NK_TCP_ACK;
		sequence = 0;
	}
	if (bpf_skb_change_tail(ctx, packet->at + NK_TCP_BYTES, 0))
		return false;
	word = nk_transport(ctx, packet, NK_TCP_BYTES);
	if (!word)
		return false;
	((__u16 *)word)[0] = asked->destination_port;
	((__u16 *)word)[1] = asked->source_port;
	word[1] = sequence;
	word[2] = acknowledged;
	word[3] = bpf_htonl(NK_TCP_BYTES / 4 << 28 | flags << 16);
	word[4] = 0;
	nk_set_checksum(ctx, packet->at + 16,
			nk_fold(nk_sum_ends(asked) + bpf_htonl(IPPROTO_TCP) + bpf_htonl(NK_TCP_BYTES)),
			nk_fold(nk_sum(word, 4)));
	return true;
}

static __noinline bool nk_reset4(struct __sk_buff *ctx, const struct nk_packet *packet)
{
	struct ethhdr *eth = nk_ipv4_frame(ctx);
	__u32 header = packet->at - ETH_HLEN;
	struct iphdr *ip;

	if (!eth)
		return false;
	ip = (void *)(eth + 1);
	if (!nk_write_reset(ctx, packet, bpf_ntohs(ip->tot_len) - header))
		return false;
	eth = nk_ipv4_frame(ctx);
	if (!eth)
		return false;
	ip = (void *)(eth + 1);
	ip->check = nk_mended(ip->check, nk_fold(nk_minus(ip->tot_len) + bpf_htons(header + NK_TCP_BYTES) +
						 nk_minus(bpf_htons(ip->ttl << 8)) + bpf_htons(NK_TTL << 8)));
	ip->tot_len = bpf_htons(header + NK_TCP_BYTES);
	ip->ttl = NK_TTL;
	ip->saddr = packet->tuple.destination[3];
	ip->daddr = packet->tuple.source[3];
	return true;
}

static __noinline bool nk_reset6(struct __sk_buff *ctx, const struct nk_packet *packet)
{
	struct ethhdr *eth = nk_ipv6_frame(ctx);
	struct ipv6hdr *ip;

	if (!eth)
		return false;
	ip = (void *)(eth + 1);
	if (!nk_write_reset(ctx, packet, bpf_ntohs(ip->payload_len)))
		return false;
	eth = nk_ipv6_frame(ctx);
	if (!eth)
		return false;
	ip = (void *)(eth + 1);
	ip->payload_len = bpf_htons(NK_TCP_BYTES);
	ip->hop_limit = NK_TTL;
	__builtin_memcpy(&ip->saddr, packet->tuple.destination, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, packet->tuple.source, sizeof(ip->daddr));
	return true;
}

/* What an error quotes of the transport: its header, or the ports and the checksum of a datagram. */
struct nk_quote {
	__u32 bytes;
	__u32 sum;
	__u32 check; /* the transport's own, alone */
};

/* Cuts the packet behind what is quoted. */
static __always_inline bool nk_quote(struct __sk_buff *ctx, const struct nk_packet *packet, struct nk_quote *quote)
{
	const __u32 *word;

	if (packet->tuple.protocol == IPPROTO_TCP) {
		word = nk_transport(ctx, packet, NK_TCP_BYTES);
		if (!word)
			return false;
		quote->bytes = NK_TCP_BYTES;
		quote->sum = nk_fold(nk_sum(word, NK_TCP_BYTES / 4));
		quote->check = ((const __u16 *)word)[8];
	} else {
		word = nk_transport(ctx, packet, NK_UDP_BYTES);
		if (!word)
			return false;
		quote->bytes = NK_UDP_BYTES;
		quote->sum = nk_fold(nk_sum(word, NK_UDP_BYTES / 4));
		quote->check = ((const __u16 *)word)[3];
	}
	return !bpf_skb_change_tail(ctx, packet->at + quote->bytes, 0);
}

/*
 * `sum`: of all but what is quoted of the transport. Completed, that part and its pseudo header make 0, and the field
 * holds the latter's sum: so the part makes the complement of the field.
 */
static __always_inline void nk_set_icmp_checksum(struct __sk_buff *ctx, __u32 at, __u64 sum,
						 const struct nk_quote *quote)
{
	__u32 completed = nk_fold(sum + (__u16)~quote->check);

	nk_set_checksum(ctx, at, ~completed, nk_fold(sum + quote->sum + completed));
}

/* The quoted IPv4 header makes 0, as it has a checksum. `more`: the second word of the ICMP header. */
static __noinline bool nk_error4(struct __sk_buff *ctx, const struct nk_packet *packet, __u32 icmp, __u32 more)
{
	struct nk_quote quote;
	struct ethhdr *eth;
	__u32 *word;

	if (!nk_quote(ctx, packet, &quote) || bpf_skb_adjust_room(ctx, NK_ICMP4_MORE, BPF_ADJ_ROOM_MAC, 0))
		return false;
	eth = nk_linear(ctx, ETH_HLEN + NK_ICMP4_MORE);
	if (!eth)
		return false;
	word = (void *)(eth + 1);
	word[0] = bpf_htonl(0x45000000 | (NK_ICMP4_MORE + packet->at - ETH_HLEN + quote.bytes));
	word[1] = bpf_htonl(NK_DONT_CUT);
	word[2] = bpf_htonl(NK_TTL << 24 | IPPROTO_ICMP << 16);
	word[3] = packet->tuple.destination[3];
	word[4] = packet->tuple.source[3];
	((__u16 *)word)[5] = nk_mended(0xffff, nk_fold(nk_sum(word, 5)));
	word[5] = icmp;
	word[6] = more;
	nk_set_icmp_checksum(ctx, ETH_HLEN + sizeof(struct iphdr) + 2, (__u64)icmp + more, &quote);
	return true;
}

static __noinline bool nk_error6(struct __sk_buff *ctx, const struct nk_packet *packet, __u32 icmp, __u32 more)
{
	struct ethhdr *eth = nk_ipv6_frame(ctx);
	struct nk_quote quote;
	__u32 bytes, *word, fragment[2];
	__u64 sum;

	if (!eth)
		return false;
	sum = nk_sum((const void *)(eth + 1), sizeof(struct ipv6hdr) / 4);
	if (packet->fragment) {
		if (bpf_skb_load_bytes(ctx, packet->at - sizeof(fragment), fragment, sizeof(fragment)))
			return false;
		sum += (__u64)fragment[0] + fragment[1];
	}
	if (!nk_quote(ctx, packet, &quote) || bpf_skb_adjust_room(ctx, NK_ICMP6_MORE, BPF_ADJ_ROOM_MAC, 0))
		return false;
	eth = nk_linear(ctx, ETH_HLEN + NK_ICMP6_MORE);
	if (!eth)
		return false;
	bytes = NK_ICMP_BYTES + packet->at - ETH_HLEN + quote.bytes;
	word = (void *)(eth + 1);
	word[0] = bpf_htonl(0x60000000);
	word[1] = bpf_htonl(bytes << 16 | IPPROTO_ICMPV6 << 8 | NK_TTL);
	__builtin_memcpy(word + 2, packet->tuple.destination, 16);
	__builtin_memcpy(word + 6, packet->tuple.source, 16);
	word[10] = icmp;
	word[11] = more;
	sum += nk_sum_ends(&packet->tuple) + bpf_htonl(bytes) + bpf_htonl(IPPROTO_ICMPV6) + icmp + more;
	nk_set_icmp_checksum(ctx, ETH_HLEN + sizeof(struct ipv6hdr) + 2, sum, &quote);
	return true;
}

static __always_inline bool nk_is_reset(const struct nk_packet *packet, __u32 reason)
{
	return packet->tuple.protocol == IPPROTO_TCP && !packet->fragment &&
	       (reason == NK_DROP_NO_BACKEND || reason == NK_DROP_NO_CONNECTION);
}

/* The first word of the error, 0: there is none. */
static __always_inline __u32 nk_icmp4(__u32 reason)
{
	switch (reason) {
	case NK_DROP_NO_BACKEND:
		return NK_ICMP4_NO_PORT;
	case NK_DROP_TOO_BIG:
		return NK_ICMP4_TOO_BIG;
	case NK_DROP_HOP_LIMIT:
		return NK_ICMP4_LAST_HOP;
	default:
		return 0;
	}
}

static __always_inline __u32 nk_icmp6(__u32 reason)
{
	switch (reason) {
	case NK_DROP_NO_BACKEND:
		return NK_ICMP6_NO_PORT;
	case NK_DROP_TOO_BIG:
		return NK_ICMP6_TOO_BIG;
	case NK_DROP_HOP_LIMIT:
		return NK_ICMP6_LAST_HOP;
	default:
		return 0;
	}
}

/* Whom the answer is for. */
static __always_inline void nk_turn(struct nk_packet *packet)
{
	struct nk_tuple *tuple = &packet->tuple;

	for (int i = 0; i < 4; i++) {
		__u32 word = tuple->source[i];

		tuple->source[i] = tuple->destination[i];
		tuple->destination[i] = word;
	}
}

/*
 * Counted as any refusal. Nobody answers a reset, an error, or a later piece. `mtu`: of the way that a packet is too
 * big for, else 0. Called by functions that have the packet on their own stack: with one in between that only hands it
 * on, the verifier of Linux 7.2 takes parts of it for unused.
 */
static __noinline int nk_refuse4(struct __sk_buff *ctx, struct nk_packet *packet, __u32 hook, __u32 reason, __u32 mtu)
{
	__u32 icmp = nk_icmp4(reason), device;
	struct ethhdr *eth;
	struct nk_way *way;

	nk_drop(ctx, hook, reason);
	if (packet->quoted || packet->flags & NK_TCP_RST || packet->fragment == NK_LATER_FRAGMENT)
		return TCX_DROP;
	if (nk_is_reset(packet, reason) ? !nk_reset4(ctx, packet)
					: !icmp || !nk_error4(ctx, packet, icmp, bpf_htonl(mtu)))
		return TCX_DROP;
	nk_turn(packet);
	device = nk_device_back(ctx, packet->tuple.destination, packet->tuple.source, hook);
	way = nk_onward4(ctx, &packet->tuple, device, hook);
	eth = nk_ipv4_frame(ctx);
	return way && eth ? nk_go_on(ctx, eth, way, hook) : TCX_DROP;
}

static __noinline int nk_refuse6(struct __sk_buff *ctx, struct nk_packet *packet, __u32 hook, __u32 reason, __u32 mtu)
{
	__u32 icmp = nk_icmp6(reason), device;
	struct ethhdr *eth;
	struct nk_way *way;

	nk_drop(ctx, hook, reason);
	if (packet->quoted || packet->flags & NK_TCP_RST || packet->fragment == NK_LATER_FRAGMENT)
		return TCX_DROP;
	if (nk_is_reset(packet, reason) ? !nk_reset6(ctx, packet)
					: !icmp || !nk_error6(ctx, packet, icmp, bpf_htonl(mtu)))
		return TCX_DROP;
	nk_turn(packet);
	device = nk_device_back(ctx, packet->tuple.destination, packet->tuple.source, hook);
	way = nk_onward6(ctx, &packet->tuple, device, hook);
	eth = nk_ipv6_frame(ctx);
	return way && eth ? nk_go_on(ctx, eth, way, hook) : TCX_DROP;
}
