/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where services are asked for from within the node. */
#pragma once

#include "abi/service.h"
#include "lib/base.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_service_address);
	__type(value, struct nk_frontend);
	__uint(max_entries, 1);
} nk_frontend_v1 SEC(".maps");

/*
 * A copy, since the kernel may give an entry's memory to another service at once: what was read is this one's if it is
 * still there afterwards. False: there is none, or it changes all the time.
 */
static __noinline bool nk_frontend(const struct nk_service_address *service, struct nk_frontend *copy)
{
	for (int i = 0; i < 3; i++) {
		const struct nk_frontend *frontend = bpf_map_lookup_elem(&nk_frontend_v1, service);

		if (!frontend)
			return false;
		*copy = *frontend;
		if (bpf_map_lookup_elem(&nk_frontend_v1, service) == frontend)
			return true;
	}
	return false;
}
