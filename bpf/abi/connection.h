/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections that a node translates: what programs and agent agree on. Addresses and ports are in network byte order;
 * IPv4 addresses are written as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), so that one table serves both families.
 * A change to a struct bumps the version in the names of the maps that hold it (docs/map-abi.md).
 */
#pragma once

#include <linux/types.h>

#include "netkite.h"

/* nk_connection.set of NK_CT_MASQUERADE: the kernel may give a socket of the node the port that the connection has. */
#define NK_CT_SHARED_PORT 1

/* What a packet says of itself. ICMP echo has its identifier in both ports' places. */
struct nk_tuple {
	__u32 source[4];
	__u32 destination[4];
	__u16 source_port;
	__u16 destination_port;
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6 */
	__u8 pad[3];
};
NK_SIZE_IS(nk_tuple, 40);

/* nk_connection.use */
#define NK_CT_SERVICE	 1 /* asked for at an entrance of a service */
#define NK_CT_MASQUERADE 2 /* a pod's, to the outside */
#define NK_CT_DIRECT	 3 /* asked for at an entrance, and led to the node of the backend, which answers itself */

/*
 * nk_connection.seen: what packets of this direction have shown; those of other protocols than TCP show NK_CT_SYN. RST
 * stays until the next packet, FIN until the next SYN.
 */
#define NK_CT_SYN (1U << 0)
#define NK_CT_ACK (1U << 1)
#define NK_CT_FIN (1U << 2)
#define NK_CT_RST (1U << 3)

/*
 * nk_connection.tick: what XDP may go by (bpf/lib/express.h). The rest of it counts ticks of bpf/lib/flow.h, about a
 * second each.
 */
#define NK_CT_EXPRESS (1U << 7)
#define NK_CT_TICK    0x7fU

/*
 * nk_ct_v1, keyed by nk_tuple: a connection has two entries, one for each direction. An entry's key is what a packet
 * looks like when it comes, `to` what it becomes. The other direction's key is `to` with both ends exchanged. One of
 * NK_CT_DIRECT has only the client's direction, and `to` says which node it is led to, whatever pod serves it there.
 * The table has a fixed size and evicts nobody: who comes when it is full is refused. The agent takes away what is old.
 */
struct nk_connection {
	struct nk_tuple to;
	__u64 time_ns; /* CLOCK_MONOTONIC, of the last packet of this direction, to a second */
	__u32 ifindex; /* the uplink that leads to the client, or to the outside */
	__u32 set;     /* NK_CT_SERVICE, NK_CT_DIRECT: the backend's, and its number */
	__u32 backend;
	__u8 use;   /* NK_CT_SERVICE, … */
	__u8 reply; /* 1: the direction towards who began it */
	__u8 seen;  /* NK_CT_SYN, … */
	__u8 tick;  /* NK_CT_EXPRESS, and when tcx has last served this direction */
};
NK_SIZE_IS(nk_connection, 64);

/* nk_self_v1: one entry, the node's own address towards others, and the ports that it may use to translate. */
struct nk_self {
	__u32 address4[4]; /* as ::ffff:a.b.c.d; all zero: none of this family */
	__u32 address6[4];
	__u16 first_port; /* host order; outside of what the kernel hands out (net.ipv4.ip_local_port_range) */
	__u16 last_port;
	__u32 pad;
};
NK_SIZE_IS(nk_self, 40);

/* nk_fragment_v2: the ports of a datagram that comes in pieces, by what all of its pieces have. */
struct nk_fragment_key {
	__u32 source[4];
	__u32 destination[4];
	__u32 id; /* IPv4: 16 bits */
	__u32 protocol;
};
NK_SIZE_IS(nk_fragment_key, 40);

struct nk_fragment {
	__u16 source_port;
	__u16 destination_port;
	__u32 time; /* of the first piece: the coarse clock in 2^30 ns */
};
NK_SIZE_IS(nk_fragment, 8);
