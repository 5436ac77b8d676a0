/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses that mean something by themselves. */
#pragma once

#include <linux/in6.h>
#include "lib/base.h"

static __always_inline bool nk_loopback4(__u32 address)
{
	return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

static __always_inline bool nk_is6(const struct in6_addr *address, __u32 last)
{
	const __u32 *word = address->s6_addr32;

	return !(word[0] | word[1] | word[2]) && word[3] == bpf_htonl(last);
}

static __always_inline bool nk_loopback6(const struct in6_addr *address)
{
	return nk_is6(address, 1);
}

static __always_inline bool nk_unspecified6(const struct in6_addr *address)
{
	return nk_is6(address, 0);
}
