/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The beginning of a connection: in the table, with a port of this node where it needs one. */
#pragma once

#include "lib/claim.h"

/*
 * Of a connection's first direction. A client that uses its port anew begins a new connection; where it is not certain
 * that the last one is over, it stays with its backend, which knows. A flow of datagrams has no end: it goes on with
 * another backend when its own has gone.
 */
static __noinline bool nk_begins_anew(const struct nk_packet *packet, const struct nk_connection *connection)
{
	struct nk_tuple back;

	if (nk_is_direct(connection)) {
		/* Whatever the client has begun before, the other node knows more of it. */
		if (nk_backend(connection->backend, connection->set) &&
		    (packet->tuple.protocol != IPPROTO_TCP || !(connection->seen & (NK_CT_FIN | NK_CT_RST))))
			return false;
	} else if (packet->tuple.protocol == IPPROTO_TCP) {
		bool ended = connection->seen & NK_CT_RST && !nk_backend(connection->backend, connection->set);

		nk_reverse(&back, &connection->to);
		if (!ended && !nk_is_over(connection, nk_connection(&back)))
			return false;
	} else if (nk_backend(connection->backend, connection->set)) {
		return false;
	}
	nk_take_out(&packet->tuple, connection);
	return true;
}

/* The connection that a packet goes on with. */
static __always_inline struct nk_connection *nk_continued(const struct nk_packet *packet)
{
	struct nk_connection *connection = nk_connection(&packet->tuple);

	if (!nk_config.services || !connection || connection->reply || connection->use == NK_CT_MASQUERADE ||
	    packet->quoted)
		return connection;
	/* The node had an overlay when that one began. */
	if (!nk_config.vni && unlikely(connection->use == NK_CT_DIRECT)) {
		bpf_map_delete_elem(&nk_ct_v1, &packet->tuple);
		return NULL;
	}
	if (likely(packet->tuple.protocol == IPPROTO_TCP && !nk_begins(packet)))
		return connection;
	return nk_begins_anew(packet, connection) ? NULL : connection;
}

/* Whose address and port a backend is to see. */
enum nk_source {
	NK_SOURCE_NODE,	  /* this node's, with a port of it */
	NK_SOURCE_EITHER, /* the client's, or the node's when the answers' tuple is somebody else's */
	NK_SOURCE_CLIENT, /* the client's, with another port in that case */
};

/* As nk_claim(), with a port of this node as the source, and its address unless `source` forbids. `hash`: where to look
 * for one. */
static __always_inline long nk_claim_port(struct nk_connection *forward, const struct nk_connection *reply, __u32 hash,
					  enum nk_source source)
{
	__u32 zero = 0;
	const struct nk_self *self = bpf_map_lookup_elem(&nk_self_v1, &zero);
	const __u32 *address;

	if (!self)
		return -EADDRNOTAVAIL;
	address = nk_is_mapped(forward->to.destination) ? self->address4 : self->address6;
	if (nk_is_none(address))
		return -EADDRNOTAVAIL;
	if (source != NK_SOURCE_CLIENT)
		nk_copy_address(forward->to.source, address);
	return nk_claim_one_of(forward, reply, self->first_port, self->last_port, hash);
}

/* Both directions, or neither. Returns a drop reason, or NK_DROP_UNSPEC: it is there. */
static __noinline int nk_open(const struct nk_packet *packet, struct nk_connection *forward, enum nk_source source)
{
	struct nk_connection reply = nk_reply_of(forward, packet);
	long status;

	if (source == NK_SOURCE_NODE && nk_goes_to_overlay(&forward->to))
		return NK_DROP_UNREACHABLE_BACKEND;
	status = source == NK_SOURCE_NODE ? -EEXIST : nk_claim(forward, &reply);
	if (status == -EEXIST)
		status = nk_claim_port(forward, &reply, nk_hash(packet), source);
	return nk_opened(packet, forward, status);
}
