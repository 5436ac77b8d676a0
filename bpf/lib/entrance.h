/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where services are asked for from outside of the node, and by whom. Only there on nodes with services. */
#pragma once

#include "lib/backends.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_service_address);
	__type(value, struct nk_entrance);
	__uint(max_entries, 1);
} nk_entrance_v1 SEC(".maps");

/* The value says nothing: who finds one is let in. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_range);
	__type(value, __u32);
	__uint(max_entries, 1);
} nk_range_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_maglev_key);
	__type(value, struct nk_maglev);
	__uint(max_entries, 1);
} nk_maglev_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct nk_client_key);
	__type(value, struct nk_affinity);
	__uint(max_entries, 32768);
} nk_client_v1 SEC(".maps");

static __always_inline struct nk_entrance *nk_entrance(const struct nk_service_address *service)
{
	return bpf_map_lookup_elem(&nk_entrance_v1, service);
}
