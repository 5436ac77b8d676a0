/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who stands behind services: sets of backends, for sockets and for what comes in from outside. */
#pragma once

#include "abi/service.h"
#include "lib/base.h"

/* Memory is taken as entries come: most clusters have a hundredth of what the largest need. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_slot_key);
	__type(value, __u32);
	__uint(max_entries, 1);
} nk_slot_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct nk_backend);
	__uint(max_entries, 1);
} nk_backend_v1 SEC(".maps");

/* NULL: it has gone from its set since. */
static __always_inline struct nk_backend *nk_backend(__u32 id, __u32 set)
{
	struct nk_backend *backend = bpf_map_lookup_elem(&nk_backend_v1, &id);

	return backend && backend->set == set ? backend : NULL;
}

/* The number in a slot, 0: none. */
static __always_inline __u32 nk_slot(__u32 set, __u32 index)
{
	struct nk_slot_key key = { .set = set, .index = index };
	__u32 *id = bpf_map_lookup_elem(&nk_slot_v1, &key);

	return id ? *id : 0;
}

/*
 * Any of the set's backends, of which there are `count`, not 0. The agent writes slots before counts and takes away
 * after them: a slot may be missing for who has read an old count, and the first one is there as long as there is any.
 */
static __always_inline __u32 nk_any_backend(__u32 set, __u32 count)
{
	__u32 id = nk_slot(set, bpf_get_prandom_u32() % count);

	return id ? id : nk_slot(set, 0);
}
