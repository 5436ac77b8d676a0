/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The number that remembered decisions are good for: see bpf/lib/flow.h. */
#pragma once

#include "lib/base.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} nk_epoch_v1 SEC(".maps");

static __always_inline __u64 nk_epoch(void)
{
	__u32 zero = 0;
	__u64 *epoch = bpf_map_lookup_elem(&nk_epoch_v1, &zero);

	return epoch ? *epoch : 0;
}

/* Nothing is remembered from here on, until the agent's next change. */
static __always_inline void nk_forget(void)
{
	__u32 zero = 0;
	__u64 never = 0;

	bpf_map_update_elem(&nk_epoch_v1, &zero, &never, BPF_ANY);
}
