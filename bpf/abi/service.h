/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Services: what programs and agent agree on. Addresses and ports are in network byte order. IPv4 addresses are written
 * as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), so that one map, and one program text, serves both families.
 * A change to a struct bumps the version in the names of the maps that hold it (docs/map-abi.md).
 */
#pragma once

#include <linux/types.h>

#include "netkite.h"

/* An address and port of somebody, or of a service. */
struct nk_service_address {
	__u32 address[4];
	__u16 port;
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP */
	__u8 led;      /* in nk_entrance_v1: 1, for whom another node leads here; else 0 */
};
NK_SIZE_IS(nk_service_address, 20);

/* nk_frontend_v1, keyed by nk_service_address: where a service is asked for. */
struct nk_frontend {
	__u32 set;	  /* of backends */
	__u32 count;	  /* of them; 0: nobody serves, and who asks is refused */
	__u32 affinity_s; /* seconds that a client keeps its backend for, 0: each connection chooses */
};
NK_SIZE_IS(nk_frontend, 12);

/* nk_slot_v1: index below the frontend's count -> the number of a backend. */
struct nk_slot_key {
	__u32 set;
	__u32 index;
};
NK_SIZE_IS(nk_slot_key, 8);

/* nk_backend_v1, keyed by a number that is never given twice: a backend is in its set as long as it is here. */
struct nk_backend {
	__u32 address[4];
	__u16 port;
	__u16 pad;
	__u32 set;
};
NK_SIZE_IS(nk_backend, 24);

/* nk_affinity_v1: which backend a client had last. A client is a network namespace: a pod, or the node. */
struct nk_affinity_key {
	__u64 netns; /* its cookie */
	__u32 set;
	__u32 pad;
};
NK_SIZE_IS(nk_affinity_key, 16);

struct nk_affinity {
	__u64 time_ns; /* CLOCK_MONOTONIC, of its last connection */
	__u32 backend;
	__u32 pad;
};
NK_SIZE_IS(nk_affinity, 16);

/* A socket's talk with a service: what it asked for, and whom it got. */
struct nk_translation {
	struct nk_service_address service;
	struct nk_service_address peer; /* the backend */
	__u32 backend;			/* its number, 0: unused */
};
NK_SIZE_IS(nk_translation, 44);

/* nk_socket_v1, of a socket. One that is not connected may talk with several services: the last ones are known. */
#define NK_TRANSLATIONS 4
struct nk_socket {
	struct nk_translation translations[NK_TRANSLATIONS];
	__u32 next; /* the one to overwrite */
};
NK_SIZE_IS(nk_socket, 180);

/* What the iterator nk_stale_sockets tells of a connected socket of datagrams whose backend has gone; in no map. */
struct nk_stale_socket {
	__u64 cookie;
	struct nk_service_address service; /* that it had asked for */
	__u32 local[4], remote[4];
	__u16 local_port, remote_port;
	__u32 family;  /* the socket's: one of AF_INET6 may talk with an IPv4 address */
	__u32 netns;   /* the inode of its network namespace */
	__u32 ifindex; /* that it is bound to, 0: none */
	__u32 held;    /* not 0: by somebody who is just using it, maybe for long */
};
NK_SIZE_IS(nk_stale_socket, 80);

/*
 * nk_entrance_v1, keyed by nk_service_address: where a service is asked for from outside of the node, by packets that
 * come in on an uplink (node port, external address, load balancer). Slots and backends are those of the frontends.
 * Whom another node leads here (NK_ENTRANCE_DIRECT there), by the overlay and as he came, has entrances of his own:
 * to pods of this node if there are some, at an address of the service, or for a node's port at this node's address.
 */
#define NK_ENTRANCE_KEEP_SOURCE (1U << 0) /* externalTrafficPolicy Local: backends of this node see the client */
#define NK_ENTRANCE_RANGES	(1U << 1) /* only clients within nk_range_v1 of this set */
#define NK_ENTRANCE_MAGLEV	(1U << 2) /* the backend comes from nk_maglev_v1, not from a slot by chance */
#define NK_ENTRANCE_DIRECT	(1U << 3) /* DSR: the nodes of other nodes' pods answer the client themselves */

struct nk_entrance {
	__u32 set;
	__u32 count;	  /* of backends; 0: nobody serves, and who asks is refused */
	__u32 affinity_s; /* seconds that a client's address keeps its backend for, 0: each connection chooses */
	__u32 flags;	  /* NK_ENTRANCE_* */
	__u32 table;	  /* NK_ENTRANCE_MAGLEV: places in the set's table, a prime */
};
NK_SIZE_IS(nk_entrance, 20);

/* nk_range_v1, a trie: clients that a set's entrances are open to. `length` counts the set's 32 bits too. */
struct nk_range {
	__u32 length;
	__u32 set; /* network byte order */
	__u32 address[4];
};
NK_SIZE_IS(nk_range, 24);

/* nk_maglev_v1: a piece of a set's table; place p stands in piece p / NK_MAGLEV_PIECE. */
#define NK_MAGLEV_PIECE 64
struct nk_maglev_key {
	__u32 set;
	__u32 piece;
};
NK_SIZE_IS(nk_maglev_key, 8);

struct nk_maglev {
	__u32 backends[NK_MAGLEV_PIECE]; /* numbers */
};
NK_SIZE_IS(nk_maglev, 256);

/* nk_client_v1: which backend a client from outside had last; the value is nk_affinity. */
struct nk_client_key {
	__u32 address[4];
	__u32 set;
};
NK_SIZE_IS(nk_client_key, 20);
