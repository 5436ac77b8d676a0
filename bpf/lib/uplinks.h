/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The uplinks whose drivers have XDP. Only there on nodes with services. */
#pragma once

#include "lib/base.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct nk_uplink);
	__uint(max_entries, 64);
} nk_uplink_v1 SEC(".maps");

static __always_inline const struct nk_uplink *nk_uplink(__u32 ifindex)
{
	return bpf_map_lookup_elem(&nk_uplink_v1, &ifindex);
}
