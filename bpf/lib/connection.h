/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connections that this node translates. Only there on nodes with services. */
#pragma once

#include "lib/backends.h"
#include "lib/config.h"
#include "lib/tuple.h"

/* Memory is taken as entries come. What the table refuses, refuses the connection; nobody is evicted for it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_tuple);
	__type(value, struct nk_connection);
	__uint(max_entries, 1);
} nk_ct_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct nk_self);
	__uint(max_entries, 1);
} nk_self_v1 SEC(".maps");

static __always_inline struct nk_connection *nk_connection(const struct nk_tuple *tuple)
{
	return bpf_map_lookup_elem(&nk_ct_v1, tuple);
}

/* Whether an address is this node's own. */
static __always_inline bool nk_is_self4(__u32 address)
{
	__u32 zero = 0;
	const struct nk_self *self = bpf_map_lookup_elem(&nk_self_v1, &zero);

	return self && address && self->address4[3] == address;
}

static __always_inline bool nk_is_self6(const __u32 *address)
{
	__u32 zero = 0;
	const struct nk_self *self = bpf_map_lookup_elem(&nk_self_v1, &zero);

	return self && !nk_is_none(address) && nk_same_address(self->address6, address);
}

/* Whether another node's pod answers the client itself. */
static __always_inline bool nk_is_direct(const struct nk_connection *connection)
{
	return nk_config.services && nk_config.vni && connection->use == NK_CT_DIRECT;
}

/*
 * Whether a packet is for the overlay of a node: that believes what the node's address says, so nobody else's may leave
 * under it. Nodes have more addresses than others know of.
 */
static __always_inline bool nk_goes_to_overlay(const struct nk_tuple *tuple)
{
	return nk_config.vni && tuple->protocol == IPPROTO_UDP && tuple->destination_port == nk_config.vxlan_port;
}

static __always_inline bool nk_begins(const struct nk_packet *packet)
{
	return (packet->flags & (NK_TCP_SYN | NK_TCP_ACK | NK_TCP_RST)) == NK_TCP_SYN;
}

/* What a packet shows, as nk_connection.seen has it. Datagrams show that there is one. */
static __always_inline __u8 nk_shown(const struct nk_packet *packet)
{
	__u8 flags = packet->flags;

	if (packet->tuple.protocol != IPPROTO_TCP)
		return NK_CT_SYN;
	return (flags & NK_TCP_SYN ? NK_CT_SYN : 0) | (flags & NK_TCP_ACK ? NK_CT_ACK : 0) |
	       (flags & NK_TCP_FIN ? NK_CT_FIN : 0) | (flags & NK_TCP_RST ? NK_CT_RST : 0);
}

/*
 * Written only when it tells something new, so that a connection's packets do not take its line from other CPUs.
 * Anybody can send a reset in somebody else's name, and no sequence numbers are known here that would give him away: so
 * it counts until its sender goes on. A SYN is a beginning, and forgets how the port's last connection has ended.
 * `express`: XDP could have served the packet.
 */
static __always_inline void nk_note(struct nk_connection *connection, const struct nk_packet *packet, bool express)
{
	__u8 tick = (nk_tick() & NK_CT_TICK) | (express ? NK_CT_EXPRESS : 0);
	__u64 now = bpf_ktime_get_coarse_ns();
	__u8 shown = nk_shown(packet);
	__u8 seen = (connection->seen & ~(shown & NK_CT_SYN ? NK_CT_FIN | NK_CT_RST : NK_CT_RST)) | shown;

	/* The tick does not tell how much time has passed: keep-alives may come with the same one each time. */
	if (unlikely(now - connection->time_ns >= NK_NS_PER_S))
		connection->time_ns = now;
	if (unlikely(connection->tick != tick))
		connection->tick = tick;
	if (unlikely(seen != connection->seen))
		connection->seen = seen;
}
