/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Refusals by reason, per CPU. */
#pragma once

#include "lib/base.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct nk_counter);
	__uint(max_entries, NK_DROP_REASON_COUNT);
} nk_drops_v1 SEC(".maps");

/* Atomic although per CPU: a preemptible kernel may run two programs on one CPU in turns, and the counts are exact. */
static __always_inline void nk_count(__u32 reason, __u32 bytes)
{
	struct nk_counter *counter = bpf_map_lookup_elem(&nk_drops_v1, &reason);

	if (!counter)
		return;
	__sync_fetch_and_add(&counter->packets, 1);
	__sync_fetch_and_add(&counter->bytes, bytes);
}
