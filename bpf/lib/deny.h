/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The deny-list of the XDP prefilter, by source prefix; each prefix counts what it denied. */
#pragma once

#include "lib/base.h"

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_prefix4);
	__type(value, struct nk_deny);
	__uint(max_entries, 1);
} nk_deny4_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_prefix6);
	__type(value, struct nk_deny);
	__uint(max_entries, 1);
} nk_deny6_v1 SEC(".maps");

static __always_inline struct nk_deny *nk_deny4(__u32 address)
{
	struct nk_prefix4 key = { .length = 32, .address = address };

	return bpf_map_lookup_elem(&nk_deny4_v1, &key);
}

static __always_inline struct nk_deny *nk_deny6(const void *address)
{
	struct nk_prefix6 key = { .length = 128 };

	__builtin_memcpy(&key.address, address, sizeof(key.address));
	return bpf_map_lookup_elem(&nk_deny6_v1, &key);
}
