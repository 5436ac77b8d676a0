/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whom sockets of this node get for a service. */
#pragma once

#include "lib/backends.h"
#include "lib/frontend.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct nk_affinity_key);
	__type(value, struct nk_affinity);
	__uint(max_entries, 4096);
} nk_affinity_v1 SEC(".maps");

static __always_inline __u32 nk_affine_backend(const struct nk_frontend *frontend, __u64 netns)
{
	struct nk_affinity_key key = { .netns = netns, .set = frontend->set };
	struct nk_affinity *known = bpf_map_lookup_elem(&nk_affinity_v1, &key);
	struct nk_affinity fresh = { .time_ns = bpf_ktime_get_ns() };

	if (known && fresh.time_ns - known->time_ns < frontend->affinity_s * NK_NS_PER_S &&
	    nk_backend(known->backend, frontend->set))
		fresh.backend = known->backend;
	else
		fresh.backend = nk_any_backend(frontend->set, frontend->count);
	bpf_map_update_elem(&nk_affinity_v1, &key, &fresh, BPF_ANY);
	return fresh.backend;
}
