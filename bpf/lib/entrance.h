/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where services are asked for from outside of the node, and by whom. Only there on nodes with services. */
#pragma once

#include "lib/connection.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_service_address);
	__type(value, struct nk_entrance);
	__uint(max_entries, 1);
} nk_entrance_v1 SEC(".maps");

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

static __always_inline struct nk_service_address nk_service_asked(const struct nk_tuple *asked)
{
	struct nk_service_address service = { .port = asked->destination_port, .protocol = asked->protocol };

	nk_copy_address(service.address, asked->destination);
	return service;
}

/* The backend that has a place in the set's table, 0: none. */
static __always_inline __u32 nk_place(const struct nk_entrance *entrance, __u32 hash)
{
	__u32 place = hash % entrance->table;
	struct nk_maglev_key key = { .set = entrance->set, .piece = place / NK_MAGLEV_PIECE };
	const struct nk_maglev *piece = bpf_map_lookup_elem(&nk_maglev_v1, &key);

	return piece ? piece->backends[place % NK_MAGLEV_PIECE] : 0;
}

/* Any of them. By its table, `hash` says which, the same on every node. The table may be a moment older than the set.
 */
static __always_inline __u32 nk_new_backend(const struct nk_entrance *entrance, __u32 hash)
{
	if (entrance->flags & NK_ENTRANCE_MAGLEV) {
		__u32 id = nk_place(entrance, hash);

		if (nk_backend(id, entrance->set))
			return id;
	}
	return nk_any_backend(entrance->set, entrance->count);
}

/* The one that a client had last, for as long as the service wants; else a new one, for its next connections too. */
static __noinline __u32 nk_clients_backend(const struct nk_entrance *entrance, const __u32 *client)
{
	struct nk_affinity fresh = { .time_ns = bpf_ktime_get_coarse_ns() };
	struct nk_client_key key = { .set = entrance->set };
	const struct nk_affinity *known;
	__u64 words[2];

	nk_copy_address(key.address, client);
	known = bpf_map_lookup_elem(&nk_client_v1, &key);
	if (known && fresh.time_ns - known->time_ns < entrance->affinity_s * NK_NS_PER_S &&
	    nk_backend(known->backend, entrance->set)) {
		fresh.backend = known->backend;
	} else {
		__builtin_memcpy(words, client, sizeof(words));
		fresh.backend = nk_new_backend(entrance, nk_hash_words(words, 2));
	}
	bpf_map_update_elem(&nk_client_v1, &key, &fresh, BPF_ANY);
	return fresh.backend;
}

/* Who shall serve, of a set that is not empty. 0: nobody does any more. */
static __always_inline __u32 nk_chosen_backend(const struct nk_entrance *entrance, const struct nk_packet *packet)
{
	if (entrance->affinity_s)
		return nk_clients_backend(entrance, packet->tuple.source);
	return nk_new_backend(entrance, nk_hash(packet));
}
