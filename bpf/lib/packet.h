/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a context to the tuple of a packet: whole ones, fragments, and ICMP errors. False: it has none. */
#pragma once

#include "lib/fragment.h"
#include "lib/quoted.h"

struct nk_fragment_header {
	__u8 next;
	__u8 reserved;
	__u16 offset; /* in its upper 13 bits; the lowest one: more follow */
	__u32 id;
};

static __always_inline bool nk_parse4(struct __sk_buff *ctx, struct nk_packet *packet)
{
	const struct ethhdr *eth = nk_ipv4_frame(ctx);
	const struct iphdr *ip;
	__u32 header;

	if (unlikely(!eth))
		return false;
	ip = (const void *)(eth + 1);
	header = (nk_first_byte(ip) & 0xf) * 4;
	if (unlikely(nk_first_byte(ip) >> 4 != 4 || header < sizeof(*ip)))
		return false;
	nk_map4(packet->tuple.source, ip->saddr);
	nk_map4(packet->tuple.destination, ip->daddr);
	packet->tuple.protocol = ip->protocol;
	packet->tuple.pad[0] = packet->tuple.pad[1] = packet->tuple.pad[2] = 0;
	packet->at = ETH_HLEN + header;
	packet->quoted = 0;
	packet->id = ip->id;
	packet->hops = ip->ttl;
	packet->fragment = NK_WHOLE;
	if (unlikely(ip->frag_off & bpf_htons(0x3fff)))
		packet->fragment = ip->frag_off & bpf_htons(0x1fff) ? NK_LATER_FRAGMENT : NK_FIRST_FRAGMENT;
	if (unlikely(packet->fragment == NK_LATER_FRAGMENT))
		return nk_recall_ports(packet);
	if (unlikely(ip->protocol == IPPROTO_ICMP))
		return (nk_config.masquerade && nk_parse_echo(ctx, packet)) || nk_parse_error4(ctx, packet);
	return nk_parse_transport(ctx, packet);
}

/* Behind a fragment header, which is the only one between: others mean that nobody here knows the packet. */
static __noinline bool nk_parse_fragment6(struct __sk_buff *ctx, struct nk_packet *packet)
{
	struct nk_fragment_header header;

	if (bpf_skb_load_bytes(ctx, packet->at, &header, sizeof(header)))
		return false;
	packet->tuple.protocol = header.next;
	packet->at += sizeof(header);
	packet->id = header.id;
	packet->fragment = header.offset & bpf_htons(0xfff8) ? NK_LATER_FRAGMENT : NK_FIRST_FRAGMENT;
	if (packet->fragment == NK_LATER_FRAGMENT)
		return nk_recall_ports(packet);
	if (unlikely(header.next == IPPROTO_ICMPV6))
		return nk_config.masquerade && nk_parse_echo(ctx, packet);
	return nk_parse_transport(ctx, packet);
}

static __always_inline bool nk_parse6(struct __sk_buff *ctx, struct nk_packet *packet)
{
	const struct ethhdr *eth = nk_ipv6_frame(ctx);
	const struct ipv6hdr *ip;

	if (unlikely(!eth))
		return false;
	ip = (const void *)(eth + 1);
	if (unlikely(nk_first_byte(ip) >> 4 != 6))
		return false;
	nk_copy_address(packet->tuple.source, &ip->saddr);
	nk_copy_address(packet->tuple.destination, &ip->daddr);
	/* Those stand for IPv4 here, and are on no wire (RFC 4291, 2.5.5.2). */
	if (unlikely(nk_is_mapped(packet->tuple.source) || nk_is_mapped(packet->tuple.destination)))
		return false;
	packet->tuple.protocol = ip->nexthdr;
	packet->tuple.pad[0] = packet->tuple.pad[1] = packet->tuple.pad[2] = 0;
	packet->at = ETH_HLEN + sizeof(*ip);
	packet->quoted = 0;
	packet->id = 0;
	packet->hops = ip->hop_limit;
	packet->fragment = NK_WHOLE;
	if (unlikely(ip->nexthdr == IPPROTO_FRAGMENT))
		return nk_parse_fragment6(ctx, packet);
	if (unlikely(ip->nexthdr == IPPROTO_ICMPV6))
		return (nk_config.masquerade && nk_parse_echo(ctx, packet)) || nk_parse_error6(ctx, packet);
	return nk_parse_transport(ctx, packet);
}
