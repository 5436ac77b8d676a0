/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets of connections that this node translates. Answers REDIRECT or DROP, or what leads up the stack, or
 * NK_UNTOUCHED: the packet is none of these, and as it was, but may have moved.
 */
#pragma once

#include "lib/direct.h"
#include "lib/packet.h"
#include "lib/reject.h"
#include "lib/translate.h"
#include "lib/untouched.h"

#define NK_DO_NOT_CUT 0x4000 /* in an IPv4 header's fragment offset (RFC 791) */

/* An answer to a pod that is not here any more: the stack says so to who sends it. */
static __always_inline bool nk_has_left(const struct nk_connection *connection, const struct nk_way *way)
{
	return nk_config.masquerade && !way->mtu && connection->reply && connection->use == NK_CT_MASQUERADE;
}

/*
 * A pod of this node takes in what is larger than its own MTU. Past its device nobody compares, so what its sender
 * would have had cut does not need to be.
 */
static __noinline bool nk_fits_uncut(struct __sk_buff *ctx, const struct nk_way *way)
{
	const struct ethhdr *eth = nk_ipv4_frame(ctx);

	return way->kind == NK_WAY_PEER && eth &&
	       !(((const struct iphdr *)(eth + 1))->frag_off & bpf_htons(NK_DO_NOT_CUT));
}

static __always_inline int nk_follow4(struct __sk_buff *ctx, struct nk_packet *packet, struct nk_connection *connection,
				      __u32 hook)
{
	struct nk_way *way = nk_onward4(ctx, &connection->to, connection->ifindex, hook);
	struct ethhdr *eth;
	__u32 mtu;

	if (unlikely(!way))
		return nk_drop(ctx, hook, NK_DROP_UNSPEC);
	if (unlikely(nk_has_left(connection, way)))
		return NK_UNTOUCHED;
	if (unlikely(packet->quoted) && !nk_is_direct(connection))
		return nk_follow_error4(ctx, packet, connection, hook);
	if (unlikely(packet->fragment == NK_FIRST_FRAGMENT))
		nk_remember_ports(packet);
	if (!nk_enters_node(way) && unlikely(packet->hops <= 1))
		return nk_refuse4(ctx, packet, hook, NK_DROP_HOP_LIMIT, 0);
	mtu = unlikely(nk_is_direct(connection)) ? nk_mtu_led(way) : way->mtu;
	if (mtu && unlikely(!nk_goes_through(ctx, packet, mtu)) && !nk_fits_uncut(ctx, way))
		return nk_refuse4(ctx, packet, hook, NK_DROP_TOO_BIG, mtu);
	nk_note(connection, packet, nk_is_express(way, hook) && !nk_is_direct(connection));
	if (unlikely(nk_is_direct(connection)))
		return nk_lead_on(ctx, packet, connection, way, hook);
	eth = nk_translate4(ctx, packet, &connection->to);
	if (unlikely(!eth))
		return nk_drop(ctx, hook, NK_DROP_MALFORMED);
	if (!nk_enters_node(way))
		nk_hop4((void *)(eth + 1));
	return nk_go_on(ctx, eth, way, hook);
}

static __always_inline int nk_follow6(struct __sk_buff *ctx, struct nk_packet *packet, struct nk_connection *connection,
				      __u32 hook)
{
	struct nk_way *way = nk_onward6(ctx, &connection->to, connection->ifindex, hook);
	struct ethhdr *eth;
	__u32 mtu;

	if (unlikely(!way))
		return nk_drop(ctx, hook, NK_DROP_UNSPEC);
	if (unlikely(nk_has_left(connection, way)))
		return NK_UNTOUCHED;
	if (unlikely(packet->quoted) && !nk_is_direct(connection))
		return nk_follow_error6(ctx, packet, connection, hook);
	if (unlikely(packet->fragment == NK_FIRST_FRAGMENT))
		nk_remember_ports(packet);
	if (!nk_enters_node(way) && unlikely(packet->hops <= 1))
		return nk_refuse6(ctx, packet, hook, NK_DROP_HOP_LIMIT, 0);
	mtu = unlikely(nk_is_direct(connection)) ? nk_mtu_led(way) : way->mtu;
	if (mtu && unlikely(!nk_goes_through(ctx, packet, mtu)))
		return nk_refuse6(ctx, packet, hook, NK_DROP_TOO_BIG, mtu);
	nk_note(connection, packet, nk_is_express(way, hook) && !nk_is_direct(connection));
	if (unlikely(nk_is_direct(connection)))
		return nk_lead_on(ctx, packet, connection, way, hook);
	eth = nk_translate6(ctx, packet, &connection->to);
	if (unlikely(!eth))
		return nk_drop(ctx, hook, NK_DROP_MALFORMED);
	if (!nk_enters_node(way))
		nk_hop6(ctx, (void *)(eth + 1));
	return nk_go_on(ctx, eth, way, hook);
}
