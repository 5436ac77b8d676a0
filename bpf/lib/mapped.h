/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses of both families in one form, IPv4's as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). */
#pragma once

#include "lib/base.h"

/* Whether it is IPv4's. */
static __always_inline bool nk_is_mapped(const __u32 *address)
{
	return !(address[0] | address[1]) && address[2] == bpf_htonl(0xffff);
}

/* Nobody's: the agent writes it where there is none. */
static __always_inline bool nk_is_none(const __u32 *address)
{
	return !(address[0] | address[1] | address[2] | address[3]);
}

static __always_inline bool nk_same_address(const __u32 *one, const __u32 *other)
{
	return one[0] == other[0] && one[1] == other[1] && one[2] == other[2] && one[3] == other[3];
}

static __always_inline void nk_map4(__u32 *address, __u32 ipv4)
{
	address[0] = 0;
	address[1] = 0;
	address[2] = bpf_htonl(0xffff);
	address[3] = ipv4;
}
