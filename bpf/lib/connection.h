/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connections that this node translates. Only there on nodes with services. */
#pragma once

#include "abi/connection.h"
#include "lib/base.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_tuple);
	__type(value, struct nk_connection);
	__uint(max_entries, 1);
} nk_ct_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct nk_self);
	__uint(max_entries, 1);
} nk_self_v1 SEC(".maps");

static __always_inline struct nk_connection *nk_connection(const struct nk_tuple *tuple)
{
	return bpf_map_lookup_elem(&nk_ct_v1, tuple);
}

static __always_inline struct nk_self *nk_self(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&nk_self_v1, &zero);
}
