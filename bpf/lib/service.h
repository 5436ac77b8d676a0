/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Services and who stands behind them. */
#pragma once

#include "abi/service.h"
#include "lib/base.h"

/* Memory is taken as entries come: most clusters have a hundredth of what the largest need. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_service_address);
	__type(value, struct nk_frontend);
	__uint(max_entries, 1);
} nk_frontend_v1 SEC(".maps");

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

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct nk_affinity_key);
	__type(value, struct nk_affinity);
	__uint(max_entries, 4096);
} nk_affinity_v1 SEC(".maps");

#define NK_NS_PER_S 1000000000ULL

static __always_inline struct nk_frontend *nk_frontend(const struct nk_service_address *service)
{
	return bpf_map_lookup_elem(&nk_frontend_v1, service);
}

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
 * Any of the set's backends. The agent writes slots before counts and takes away after them: a slot may be missing for
 * who has read an old count, and the first one is there as long as there is any.
 */
static __always_inline __u32 nk_any_backend(const struct nk_frontend *frontend)
{
	__u32 id = nk_slot(frontend->set, bpf_get_prandom_u32() % frontend->count);

	return id ? id : nk_slot(frontend->set, 0);
}

static __always_inline __u32 nk_affine_backend(const struct nk_frontend *frontend, __u64 netns)
{
	struct nk_affinity_key key = { .netns = netns, .set = frontend->set };
	struct nk_affinity *known = bpf_map_lookup_elem(&nk_affinity_v1, &key);
	struct nk_affinity fresh = { .time_ns = bpf_ktime_get_ns() };

	if (known && fresh.time_ns - known->time_ns < frontend->affinity_s * NK_NS_PER_S &&
	    nk_backend(known->backend, frontend->set))
		fresh.backend = known->backend;
	else
		fresh.backend = nk_any_backend(frontend);
	bpf_map_update_elem(&nk_affinity_v1, &key, &fresh, BPF_ANY);
	return fresh.backend;
}
