/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pods that ask for a service by packets: those whose sockets no program of socket.bpf.c sees, where the node has no
 * control group of version 2, or where the pod is a machine with a kernel of its own.
 */
#pragma once

#include "lib/frontend.h"
#include "lib/lead.h"
#include "lib/route.h"

/* In place of a drop reason: the packet is the stack's. */
#define NK_TO_STACK (-1)

/* By which a pod's packet leaves, as nk_device_out() says. */
static __noinline __u32 nk_route_out(struct __sk_buff *ctx, const struct nk_tuple *tuple)
{
	struct bpf_fib_lookup route = { .l4_protocol = tuple->protocol,
					.sport = tuple->source_port,
					.dport = tuple->destination_port };

	return nk_device_out(ctx, &route, tuple->source, tuple->destination);
}

/* Whom the packet is led to. Apart from what follows: the stack has room for one of them. */
static __noinline int nk_choose_asked(const struct nk_packet *packet, struct nk_connection *forward)
{
	struct nk_service_address service = nk_service_asked(&packet->tuple);
	struct nk_entrance entrance = {};
	struct nk_frontend frontend;

	if (!nk_frontend(&service, &frontend))
		return NK_TO_STACK;
	entrance.set = frontend.set;
	entrance.count = frontend.count;
	entrance.affinity_s = frontend.affinity_s;
	return nk_choose(packet, &entrance, forward);
}

/*
 * A new connection: NK_DROP_UNSPEC, it is there; NK_TO_STACK: nobody has asked for a service; else why it is refused.
 * Not static, so that the verifier looks at it once.
 */
__noinline int nk_ask(struct __sk_buff *ctx, const struct nk_packet *packet)
{
	struct nk_connection forward = {};
	int reason;

	if (!packet || !nk_config.services)
		return NK_TO_STACK;
	reason = nk_choose_asked(packet, &forward);
	if (reason)
		return reason;
	forward.ifindex = nk_route_out(ctx, &forward.to);
	if (!forward.ifindex && !nk_is_self(forward.to.destination))
		return NK_DROP_UNREACHABLE_BACKEND;
	return nk_open(packet, &forward, nk_source_for(forward.to.destination, true));
}
