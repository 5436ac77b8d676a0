/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Nodes that are reached by the overlay: their pods and their own addresses; and the own addresses of those that are
 * reached natively, who may lead clients here all the same. Never looked into on a node without an overlay.
 */
#pragma once

#include "lib/config.h"
#include "lib/remotes.h"

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_prefix4);
	__type(value, struct nk_tunnel);
	__uint(max_entries, 1);
} nk_tunnel4_v2 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_prefix6);
	__type(value, struct nk_tunnel);
	__uint(max_entries, 1);
} nk_tunnel6_v2 SEC(".maps");

static __always_inline struct nk_tunnel *nk_tunnel4(__u32 address)
{
	struct nk_prefix4 key = { .length = 32, .address = address };

	return nk_config.vni ? bpf_map_lookup_elem(&nk_tunnel4_v2, &key) : NULL;
}

static __always_inline struct nk_tunnel *nk_tunnel6(const void *address)
{
	struct nk_prefix6 key = { .length = 128 };

	if (!nk_config.vni)
		return NULL;
	__builtin_memcpy(&key.address, address, sizeof(key.address));
	return bpf_map_lookup_elem(&nk_tunnel6_v2, &key);
}

/* Whether what was looked up is the other node's own address, not one of its pods'. */
static __always_inline bool nk_is_its_node(const struct nk_tunnel *tunnel)
{
	return tunnel->flags & NK_TUNNEL_NODE;
}

/* To the node that a native way leads to. NULL: to a router. */
static __always_inline struct nk_tunnel *nk_tunnel_beside(__u32 nexthop_family, const void *nexthop)
{
	return nexthop_family == NK_AF_INET ? nk_tunnel4(*(const __u32 *)nexthop) : nk_tunnel6(nexthop);
}
