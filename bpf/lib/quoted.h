/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors (RFC 792, RFC 4443) about packets of translated connections: they quote what they are about, and whoever
 * gets them has to find his own packet there (RFC 5508). The error goes the way of the answers.
 *
 * Of what changes inside, most balances itself: IPv4's addresses and the header's checksum; addresses, ports and the
 * transport's checksum, as far as that is quoted. The ICMP checksum takes the rest. A sum over the packet
 * (CHECKSUM_COMPLETE) stays as it was, so nothing here is of a pseudo header but the outer addresses of IPv6.
 */
#pragma once

#include "lib/onward.h"
#include "lib/translate.h"

#define NK_ICMP_BYTES 8

/* The tuple of answers to the quoted packet, from its ports. False: it is cut short. */
static __always_inline bool nk_parse_quoted(struct __sk_buff *ctx, struct nk_packet *packet)
{
	__u16 ports[2];

	packet->flags = 0;
	packet->header = 0;
	if (unlikely(nk_is_echo(&packet->tuple)))
		return nk_parse_quoted_echo(ctx, packet);
	if (packet->tuple.protocol != IPPROTO_TCP && packet->tuple.protocol != IPPROTO_UDP)
		return false;
	if (bpf_skb_load_bytes(ctx, packet->at, ports, sizeof(ports)))
		return false;
	packet->tuple.source_port = ports[1];
	packet->tuple.destination_port = ports[0];
	return true;
}

static __always_inline bool nk_is_error4(__u8 type)
{
	return type == 3 || type == 4 || type == 11 || type == 12;
}

static __noinline bool nk_parse_error4(struct __sk_buff *ctx, struct nk_packet *packet)
{
	struct iphdr ip;
	__u8 type;

	packet->quoted = packet->at + NK_ICMP_BYTES;
	if (bpf_skb_load_bytes(ctx, packet->at, &type, sizeof(type)) || !nk_is_error4(type) ||
	    bpf_skb_load_bytes(ctx, packet->quoted, &ip, sizeof(ip)))
		return false;
	if (ip.version != 4 || ip.ihl < 5 || ip.frag_off & bpf_htons(0x1fff))
		return false;
	packet->at = packet->quoted + ip.ihl * 4;
	packet->tuple.source[3] = ip.daddr;
	packet->tuple.destination[3] = ip.saddr;
	packet->tuple.protocol = ip.protocol;
	return nk_parse_quoted(ctx, packet);
}

static __noinline bool nk_parse_error6(struct __sk_buff *ctx, struct nk_packet *packet)
{
	__u8 type, next;

	packet->quoted = packet->at + NK_ICMP_BYTES;
	if (bpf_skb_load_bytes(ctx, packet->at, &type, sizeof(type)) || !type || type > 4 ||
	    bpf_skb_load_bytes(ctx, packet->quoted + offsetof(struct ipv6hdr, nexthdr), &next, sizeof(next)) ||
	    bpf_skb_load_bytes(ctx, packet->quoted + offsetof(struct ipv6hdr, daddr), packet->tuple.source, 16) ||
	    bpf_skb_load_bytes(ctx, packet->quoted + offsetof(struct ipv6hdr, saddr), packet->tuple.destination, 16))
		return false;
	if (nk_is_mapped(packet->tuple.source) || nk_is_mapped(packet->tuple.destination))
		return false;
	packet->at = packet->quoted + sizeof(struct ipv6hdr);
	packet->tuple.protocol = next;
	return nk_parse_quoted(ctx, packet);
}

/* The quoted ports, and the transport's checksum if it is quoted and is one. True: it was. */
static __always_inline bool nk_write_quoted(struct __sk_buff *ctx, const struct nk_packet *packet,
					    const struct nk_tuple *to, __u32 difference)
{
	const __u16 ports[2] = { to->destination_port, to->source_port };
	bool tcp = packet->tuple.protocol == IPPROTO_TCP;
	__u32 at = packet->at + (tcp ? 16 : 6);
	__u16 check;

	bpf_skb_store_bytes(ctx, packet->at, ports, sizeof(ports), 0);
	if (bpf_skb_load_bytes(ctx, at, &check, sizeof(check)) || (!tcp && !check))
		return false;
	return !bpf_l4_csum_replace(ctx, at, 0, difference, tcp ? 0 : BPF_F_MARK_MANGLED_0);
}

/* What `to` makes of the packet that is quoted: it went the other way. */
static __noinline void nk_translate_quoted4(struct __sk_buff *ctx, const struct nk_packet *packet,
					    const struct nk_tuple *to)
{
	const __u32 addresses[2] = { to->destination[3], to->source[3] };
	__u32 by_addresses = nk_difference4(&packet->tuple, to), by_ports = nk_difference_of_ports(&packet->tuple, to);
	bool echo = nk_is_echo(&packet->tuple), balanced;

	if (echo)
		nk_write_echo(ctx, packet, to);
	balanced = echo || nk_write_quoted(ctx, packet, to, nk_fold((__u64)by_addresses + by_ports));
	bpf_skb_store_bytes(ctx, packet->quoted + offsetof(struct iphdr, saddr), addresses, sizeof(addresses), 0);
	bpf_l3_csum_replace(ctx, packet->quoted + offsetof(struct iphdr, check), 0, by_addresses, 0);
	/* ICMP has no addresses in its sum, and all of an echo balances itself. */
	if (!echo)
		bpf_l4_csum_replace(ctx, packet->quoted - NK_ICMP_BYTES + 2, 0, balanced ? ~by_addresses : by_ports, 0);
}

static __noinline void nk_translate_quoted6(struct __sk_buff *ctx, const struct nk_packet *packet,
					    const struct nk_tuple *to)
{
	__u32 difference =
		nk_fold((__u64)nk_difference6(&packet->tuple, to) + nk_difference_of_ports(&packet->tuple, to));
	bool balanced;

	if (nk_is_echo(&packet->tuple)) {
		bpf_l4_csum_replace(ctx, packet->at + 2, 0, nk_difference6(&packet->tuple, to), 0);
		nk_write_echo(ctx, packet, to);
		balanced = true;
	} else {
		balanced = nk_write_quoted(ctx, packet, to, difference);
	}
	bpf_skb_store_bytes(ctx, packet->quoted + offsetof(struct ipv6hdr, saddr), to->destination, 16, 0);
	bpf_skb_store_bytes(ctx, packet->quoted + offsetof(struct ipv6hdr, daddr), to->source, 16, 0);
	if (!balanced)
		bpf_l4_csum_replace(ctx, packet->quoted - NK_ICMP_BYTES + 2, 0, difference, 0);
}

/* Where the error goes: to whom answers go, and from whom they come if that is not who sent them. */
static __always_inline void nk_outer_ends(struct nk_tuple *outer, const struct nk_packet *packet,
					  const struct nk_tuple *to)
{
	const __u32 *was = packet->tuple.source, *is = to->source;

	nk_copy_address(outer->destination, to->destination);
	if (was[0] != is[0] || was[1] != is[1] || was[2] != is[2] || was[3] != is[3])
		nk_copy_address(outer->source, is);
}

/* False: no memory. */
static __always_inline bool nk_outer_ends4(struct __sk_buff *ctx, const struct nk_packet *packet,
					   const struct nk_tuple *to, struct nk_tuple *outer)
{
	struct ethhdr *eth = nk_ipv4_frame(ctx);

	if (unlikely(!eth))
		return false;
	nk_map4(outer->source, ((const struct iphdr *)(eth + 1))->saddr);
	nk_outer_ends(outer, packet, to);
	return true;
}

static __always_inline bool nk_outer_ends6(struct __sk_buff *ctx, const struct nk_packet *packet,
					   const struct nk_tuple *to, struct nk_tuple *outer)
{
	struct ethhdr *eth = nk_ipv6_frame(ctx);

	if (unlikely(!eth))
		return false;
	nk_copy_address(outer->source, &((const struct ipv6hdr *)(eth + 1))->saddr);
	nk_outer_ends(outer, packet, to);
	return true;
}

/* NULL: no memory, and the packet is neither the one nor the other now. */
static __always_inline struct ethhdr *nk_translate_error4(struct __sk_buff *ctx, const struct nk_packet *packet,
							  const struct nk_tuple *to, const struct nk_tuple *outer)
{
	struct ethhdr *eth;
	__u32 difference;
	struct iphdr *ip;

	nk_translate_quoted4(ctx, packet, to);
	eth = nk_ipv4_frame(ctx);
	if (!eth)
		return NULL;
	ip = (void *)(eth + 1);
	difference = nk_fold(nk_minus(ip->saddr) + nk_minus(ip->daddr) + outer->source[3] + outer->destination[3]);
	ip->saddr = outer->source[3];
	ip->daddr = outer->destination[3];
	ip->check = nk_mended(ip->check, difference);
	return eth;
}

static __always_inline struct ethhdr *nk_translate_error6(struct __sk_buff *ctx, const struct nk_packet *packet,
							  const struct nk_tuple *to, const struct nk_tuple *outer)
{
	struct ethhdr *eth = nk_ipv6_frame(ctx);
	struct ipv6hdr *ip;
	__u32 difference;

	if (!eth)
		return NULL;
	ip = (void *)(eth + 1);
	difference = bpf_csum_diff((void *)&ip->saddr, 32, (void *)outer->source, 32, 0);
	nk_translate_quoted6(ctx, packet, to);
	bpf_l4_csum_replace(ctx, packet->quoted - NK_ICMP_BYTES + 2, 0, difference, BPF_F_PSEUDO_HDR);
	bpf_csum_update(ctx, difference);
	eth = nk_ipv6_frame(ctx);
	if (!eth)
		return NULL;
	ip = (void *)(eth + 1);
	__builtin_memcpy(&ip->saddr, outer->source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, outer->destination, sizeof(ip->daddr));
	return eth;
}

static __noinline int nk_follow_error4(struct __sk_buff *ctx, const struct nk_packet *packet,
				       const struct nk_connection *connection, __u32 hook)
{
	struct nk_tuple outer = {};
	struct ethhdr *eth;
	struct nk_way *way;

	if (!nk_outer_ends4(ctx, packet, &connection->to, &outer))
		return nk_drop(ctx, hook, NK_DROP_MALFORMED);
	way = nk_onward4(ctx, &outer, connection->ifindex, hook);
	if (!way || (!nk_enters_node(way) && packet->hops <= 1))
		return nk_drop(ctx, hook, NK_DROP_HOP_LIMIT);
	eth = nk_translate_error4(ctx, packet, &connection->to, &outer);
	if (!eth)
		return nk_drop(ctx, hook, NK_DROP_MALFORMED);
	if (!nk_enters_node(way))
		nk_hop4((void *)(eth + 1));
	return nk_go_on(ctx, eth, way, hook);
}

static __noinline int nk_follow_error6(struct __sk_buff *ctx, const struct nk_packet *packet,
				       const struct nk_connection *connection, __u32 hook)
{
	struct nk_tuple outer = {};
	struct ethhdr *eth;
	struct nk_way *way;

	if (!nk_outer_ends6(ctx, packet, &connection->to, &outer))
		return nk_drop(ctx, hook, NK_DROP_MALFORMED);
	way = nk_onward6(ctx, &outer, connection->ifindex, hook);
	if (!way || (!nk_enters_node(way) && packet->hops <= 1))
		return nk_drop(ctx, hook, NK_DROP_HOP_LIMIT);
	eth = nk_translate_error6(ctx, packet, &connection->to, &outer);
	if (!eth)
		return nk_drop(ctx, hook, NK_DROP_MALFORMED);
	if (!nk_enters_node(way))
		nk_hop6(ctx, (void *)(eth + 1));
	return nk_go_on(ctx, eth, way, hook);
}
