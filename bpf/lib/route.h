/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the kernel's routes say of what a pod sends. */
#pragma once

#include "lib/tuple.h"

/* The uplink of the kernel's route for a pod's packet; 0: it leads elsewhere, or the stack has something to say. */
static __noinline __u32 nk_route_out(struct __sk_buff *ctx, const struct nk_tuple *tuple)
{
	struct bpf_fib_lookup route = { .l4_protocol = tuple->protocol,
					.sport = tuple->source_port,
					.dport = tuple->destination_port,
					.ifindex = ctx->ifindex };
	long answer;

	if (nk_is_mapped(tuple->source)) {
		route.family = NK_AF_INET;
		route.ipv4_src = tuple->source[3];
		route.ipv4_dst = tuple->destination[3];
	} else {
		route.family = NK_AF_INET6;
		nk_copy_address(route.ipv6_src, tuple->source);
		nk_copy_address(route.ipv6_dst, tuple->destination);
	}
	answer = bpf_fib_lookup(ctx, &route, sizeof(route), BPF_FIB_LOOKUP_SKIP_NEIGH);
	/* Too big: of a connection all the same, and refused with it. */
	return answer == BPF_FIB_LKUP_RET_SUCCESS || answer == BPF_FIB_LKUP_RET_FRAG_NEEDED ? route.ifindex : 0;
}
