/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Local pods: by address, and by host device for what the slow path has to say. Sizes are the agent's. */
#pragma once

#include "lib/base.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct nk_endpoint);
	__uint(max_entries, 1);
} nk_ep4_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct nk_addr6);
	__type(value, struct nk_endpoint);
	__uint(max_entries, 1);
} nk_ep6_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct nk_device);
	__uint(max_entries, 1);
} nk_dev_v1 SEC(".maps");

/* The address may lie in the packet itself: no copy. */
static __always_inline struct nk_endpoint *nk_endpoint4(const void *address)
{
	return bpf_map_lookup_elem(&nk_ep4_v1, address);
}

static __always_inline struct nk_endpoint *nk_endpoint6(const void *address)
{
	return bpf_map_lookup_elem(&nk_ep6_v1, address);
}

static __always_inline struct nk_device *nk_device(__u32 ifindex)
{
	return bpf_map_lookup_elem(&nk_dev_v1, &ifindex);
}
