/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the kernel's routes say of packets that come in here and are forwarded, and of answers to them. */
#pragma once

#include "lib/tunnels.h"
#include "lib/tuple.h"

/*
 * The device that it leaves by; 0: it is for this node, or the stack has something to say. `route` has what else the
 * routes may ask for.
 */
static __always_inline __u32 nk_device_out(struct __sk_buff *ctx, struct bpf_fib_lookup *route, const __u32 *source,
					   const __u32 *destination)
{
	long answer;

	route->ifindex = ctx->ifindex;
	if (nk_is_mapped(source)) {
		route->family = NK_AF_INET;
		route->ipv4_src = source[3];
		route->ipv4_dst = destination[3];
	} else {
		route->family = NK_AF_INET6;
		nk_copy_address(route->ipv6_src, source);
		nk_copy_address(route->ipv6_dst, destination);
	}
	answer = bpf_fib_lookup(ctx, route, sizeof(*route), BPF_FIB_LOOKUP_SKIP_NEIGH);
	/* Too big: of a connection all the same, and refused with it. */
	return answer == BPF_FIB_LKUP_RET_SUCCESS || answer == BPF_FIB_LKUP_RET_FRAG_NEEDED ? route->ifindex : 0;
}

/* To whoever has the address. NULL: not by the overlay. */
static __always_inline struct nk_tunnel *nk_tunnel_to(const __u32 *address)
{
	return nk_is_mapped(address) ? nk_tunnel4(address[3]) : nk_tunnel6(address);
}

/*
 * By which an answer to `client` under the address `asked` leaves: the device that he came by. Who came out of a
 * tunnel, and is nobody that one leads to, has been led here by another node, and his answers go by the routes: 0 if by
 * none.
 */
static __noinline __u32 nk_device_back(struct __sk_buff *ctx, const __u32 *client, const __u32 *asked, __u32 hook)
{
	struct bpf_fib_lookup route = {};
	__u32 here = ctx->ifindex;

	if (hook != NK_HOOK_FROM_OVERLAY || nk_tunnel_to(client))
		return here;
	return nk_device_out(ctx, &route, asked, client);
}
