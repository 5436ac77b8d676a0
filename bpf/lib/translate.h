/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Other addresses and ports in a packet. Checksums follow by difference: a wrong one stays wrong.
 *
 * The kernel may hold the transport's checksum in three ways: whole in the header, as a sum of the pseudo header there
 * that a device completes (CHECKSUM_PARTIAL), and as a sum over the packet beside it (CHECKSUM_COMPLETE). Only
 * bpf_l4_csum_replace() knows which. Addresses are of the pseudo header, ports are not.
 *
 * To a sum over the packet, IPv4's addresses make no difference, since the header's own checksum balances them, and
 * what the transport's checksum changes by does; the helper allows for that. With IPv6 it is the transport's checksum
 * that balances the addresses, but the helper allows for it all the same, and bpf_csum_update() takes it back. (Newer
 * kernels have a flag for this, which older ones refuse.)
 */
#pragma once

#include "lib/deliver.h"
#include "lib/echo.h"
#include "lib/tuple.h"

/* A one's complement sum of 32 bits (RFC 1071), as the helpers want differences. */
static __always_inline __u32 nk_fold(__u64 sum)
{
	sum = (__u32)sum + (sum >> 32);
	return (__u32)sum + (sum >> 32);
}

static __always_inline __u64 nk_minus(__u32 word)
{
	return (__u32)~word;
}

static __always_inline __u32 nk_difference4(const struct nk_tuple *from, const struct nk_tuple *to)
{
	return nk_fold(nk_minus(from->source[3]) + nk_minus(from->destination[3]) + to->source[3] + to->destination[3]);
}

static __always_inline __u32 nk_difference6(const struct nk_tuple *from, const struct nk_tuple *to)
{
	__u64 sum = 0;

	for (int i = 0; i < 4; i++)
		sum += nk_minus(from->source[i]) + nk_minus(from->destination[i]) + to->source[i] + to->destination[i];
	return nk_fold(sum);
}

static __always_inline __u16 nk_mended(__u16 check, __u32 difference)
{
	__u32 sum = (__u16)~check + (difference & 0xffff) + (difference >> 16);

	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16));
}

static __always_inline __u32 nk_difference_of_ports(const struct nk_tuple *from, const struct nk_tuple *to)
{
	return (__u16)~from->source_port + (__u16)~from->destination_port + to->source_port + to->destination_port;
}

/* `addresses`: what they differ by. A UDP checksum of 0, which is none, stays so. */
static __always_inline void nk_mend_transport(struct __sk_buff *ctx, const struct nk_packet *packet, __u32 addresses,
					      const struct nk_tuple *to)
{
	const struct nk_tuple *from = &packet->tuple;
	bool tcp = from->protocol == IPPROTO_TCP;
	__u32 at = packet->at + (tcp ? 16 : 6);
	__u64 flags = tcp ? 0 : BPF_F_MARK_MANGLED_0;

	bpf_l4_csum_replace(ctx, at, 0, addresses, flags | BPF_F_PSEUDO_HDR);
	bpf_l4_csum_replace(ctx, at, 0, nk_difference_of_ports(from, to), flags);
}

/* A later fragment has nothing of it. */
static __always_inline bool nk_translate_transport(struct __sk_buff *ctx, const struct nk_packet *packet,
						   __u32 addresses, const struct nk_tuple *to)
{
	__u16 *ports;

	if (unlikely(!packet->at))
		return true;
	if (unlikely(nk_is_echo(&packet->tuple))) {
		if (packet->tuple.protocol == IPPROTO_ICMPV6)
			bpf_l4_csum_replace(ctx, packet->at + 2, 0, addresses, BPF_F_PSEUDO_HDR);
		nk_write_echo(ctx, packet, to);
		return true;
	}
	nk_mend_transport(ctx, packet, addresses, to);
	ports = nk_transport(ctx, packet, 4);
	if (unlikely(!ports))
		return false;
	ports[0] = to->source_port;
	ports[1] = to->destination_port;
	return true;
}

/* The frame. NULL: no memory, and the packet is neither the one nor the other now. */
static __always_inline struct ethhdr *nk_translate4(struct __sk_buff *ctx, const struct nk_packet *packet,
						    const struct nk_tuple *to)
{
	__u32 difference = nk_difference4(&packet->tuple, to);
	struct ethhdr *eth;
	struct iphdr *ip;

	if (unlikely(!nk_translate_transport(ctx, packet, difference, to)))
		return NULL;
	eth = nk_ipv4_frame(ctx);
	if (unlikely(!eth))
		return NULL;
	ip = (void *)(eth + 1);
	ip->saddr = to->source[3];
	ip->daddr = to->destination[3];
	ip->check = nk_mended(ip->check, difference);
	return eth;
}

static __always_inline struct ethhdr *nk_translate6(struct __sk_buff *ctx, const struct nk_packet *packet,
						    const struct nk_tuple *to)
{
	__u32 difference = nk_difference6(&packet->tuple, to);
	struct ipv6hdr *ip;
	struct ethhdr *eth;

	if (unlikely(!nk_translate_transport(ctx, packet, difference, to)))
		return NULL;
	bpf_csum_update(ctx, difference);
	eth = nk_ipv6_frame(ctx);
	if (unlikely(!eth))
		return NULL;
	ip = (void *)(eth + 1);
	__builtin_memcpy(&ip->saddr, to->source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, to->destination, sizeof(ip->daddr));
	return eth;
}
