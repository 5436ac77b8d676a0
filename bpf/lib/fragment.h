/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments: only the first one has ports, so they are remembered for the later ones, as soon as it is known that they
 * are of a connection. A later one that comes first is nobody's. Only there on nodes with services.
 */
#pragma once

#include "lib/tuple.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct nk_fragment_key);
	__type(value, struct nk_fragment);
	__uint(max_entries, 4096);
} nk_fragment_v2 SEC(".maps");

/* As long as the kernel waits for the rest of a datagram (ip(7), ipfrag_time); its number may be another's then. */
#define NK_FRAGMENT_AGE 30

static __always_inline __u32 nk_fragment_clock(void)
{
	return bpf_ktime_get_coarse_ns() >> 30;
}

static __always_inline void nk_fragment_key(struct nk_fragment_key *key, const struct nk_packet *packet)
{
	nk_copy_address(key->source, packet->tuple.source);
	nk_copy_address(key->destination, packet->tuple.destination);
	key->id = packet->id;
	key->protocol = packet->tuple.protocol;
}

/* Of a first fragment. */
static __noinline void nk_remember_ports(const struct nk_packet *packet)
{
	struct nk_fragment ports = { .source_port = packet->tuple.source_port,
				     .destination_port = packet->tuple.destination_port,
				     .time = nk_fragment_clock() };
	struct nk_fragment_key key;

	nk_fragment_key(&key, packet);
	bpf_map_update_elem(&nk_fragment_v2, &key, &ports, BPF_ANY);
}

/* For a later one. */
static __noinline bool nk_recall_ports(struct nk_packet *packet)
{
	const struct nk_fragment *ports;
	struct nk_fragment_key key;

	nk_fragment_key(&key, packet);
	ports = bpf_map_lookup_elem(&nk_fragment_v2, &key);
	if (!ports || nk_fragment_clock() - ports->time > NK_FRAGMENT_AGE)
		return false;
	packet->at = 0;
	packet->flags = 0;
	packet->header = 0;
	packet->tuple.source_port = ports->source_port;
	packet->tuple.destination_port = ports->destination_port;
	return true;
}
