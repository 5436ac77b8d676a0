/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers of this node's stack to who has asked for a service: they leave under the address that was asked for. All
 * else stays as it is. For programs at a device's egress, where the stack has decided all that there is to decide.
 * Both functions answer false for a packet that is neither the one nor the other any more.
 */
#pragma once

#include "lib/ending.h"
#include "lib/packet.h"
#include "lib/service_path.h"

/* What answers a SYN that the connection, which is over, has not seen: the client has asked past the service. */
static __noinline bool nk_answers_another(const struct nk_packet *packet, const struct nk_connection *reply)
{
	const struct nk_connection *forward;
	struct nk_tuple asked;

	if (packet->quoted || (packet->flags & (NK_TCP_SYN | NK_TCP_ACK)) != (NK_TCP_SYN | NK_TCP_ACK))
		return false;
	nk_reverse(&asked, &reply->to);
	forward = nk_connection(&asked);
	if (forward && !nk_is_over(forward, reply))
		return false;
	nk_take_out(&packet->tuple, reply);
	return true;
}

/* NULL: the packet is none of these. */
static __always_inline struct nk_connection *nk_answered(const struct nk_packet *packet)
{
	struct nk_connection *connection = nk_connection(&packet->tuple);

	if (likely(!connection || !connection->reply || connection->use != NK_CT_SERVICE))
		return NULL;
	if (packet->tuple.protocol == IPPROTO_TCP && unlikely(nk_answers_another(packet, connection)))
		return NULL;
	return connection;
}

static __always_inline void nk_note_answer(struct nk_connection *connection, const struct nk_packet *packet)
{
	if (unlikely(packet->fragment == NK_FIRST_FRAGMENT))
		nk_remember_ports(packet);
	nk_note(connection, packet, false);
}

static __noinline bool nk_answer4(struct __sk_buff *ctx)
{
	struct nk_connection *connection;
	struct nk_tuple outer = {};
	struct nk_packet packet;

	if (!nk_parse4(ctx, &packet))
		return true;
	connection = nk_answered(&packet);
	if (likely(!connection))
		return true;
	if (likely(!packet.quoted)) {
		nk_note_answer(connection, &packet);
		return nk_translate4(ctx, &packet, &connection->to);
	}
	return nk_outer_ends4(ctx, &packet, &connection->to, &outer) &&
	       nk_translate_error4(ctx, &packet, &connection->to, &outer);
}

static __noinline bool nk_answer6(struct __sk_buff *ctx)
{
	struct nk_connection *connection;
	struct nk_tuple outer = {};
	struct nk_packet packet;

	if (!nk_parse6(ctx, &packet))
		return true;
	connection = nk_answered(&packet);
	if (likely(!connection))
		return true;
	if (likely(!packet.quoted)) {
		nk_note_answer(connection, &packet);
		return nk_translate6(ctx, &packet, &connection->to);
	}
	return nk_outer_ends6(ctx, &packet, &connection->to, &outer) &&
	       nk_translate_error6(ctx, &packet, &connection->to, &outer);
}
