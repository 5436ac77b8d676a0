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

static __always_inline struct nk_frontend *nk_frontend(const struct nk_service_address *service)
{
	return bpf_map_lookup_elem(&nk_frontend_v1, service);
}
