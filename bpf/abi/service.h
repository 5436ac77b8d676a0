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
	__u8 pad;
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
