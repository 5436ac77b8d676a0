/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Masquerade of what pods send to the outside: what programs and agent agree on. Addresses are in network byte order,
 * IPv4 ones as ::ffff:a.b.c.d. A change to a struct bumps the version in the names of the maps that hold it
 * (docs/map-abi.md).
 */
#pragma once

#include <linux/types.h>

#include "netkite.h"

/*
 * nk_exit_v1, keyed by an uplink's ifindex: what a new connection leaves by it with. Ports are in host order. The
 * node's stack has ports of its own to translate with, which no connection here takes, so that neither meets the
 * other's.
 */
struct nk_exit {
	__u32 address4[4]; /* all zero: none of this family, and connections are the stack's */
	__u32 address6[4];
	__u16 first_port; /* for whom cannot keep its own; none that the kernel hands out */
	__u16 last_port;
	__u16 stack_first_port;
	__u16 stack_last_port;
};
NK_SIZE_IS(nk_exit, 40);

/* nk_unmasked_v1, a trie: whom pods talk with under their own addresses. The value says nothing. */
struct nk_unmasked {
	__u32 length; /* bits, of the 128 */
	__u32 address[4];
};
NK_SIZE_IS(nk_unmasked, 20);
