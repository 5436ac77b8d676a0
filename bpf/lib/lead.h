/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who serves a connection that begins, and what its packets become. */
#pragma once

#include "lib/endpoints.h"
#include "lib/entrance.h"
#include "lib/open.h"

static __always_inline const struct nk_endpoint *nk_pod_here(const __u32 *address)
{
	return nk_is_mapped(address) ? nk_endpoint4(&address[3]) : nk_endpoint6(address);
}

static __always_inline bool nk_is_self(const __u32 *address)
{
	return nk_is_mapped(address) ? nk_is_self4(address[3]) : nk_is_self6(address);
}

/*
 * Answers must come back to this node, and to a hook that translates: those that take the stack always do, and a node
 * takes nothing from outside under its own address. Those of other pods of this node come back unless they are for
 * somebody in the cluster, who gets them without a look at the table.
 */
static __always_inline enum nk_source nk_source_for(const __u32 *backend, bool inside)
{
	const struct nk_endpoint *ep = nk_pod_here(backend);

	if (ep ? ep->flags & NK_EP_HOOKED : nk_is_self(backend))
		return NK_SOURCE_CLIENT;
	return ep && !inside ? NK_SOURCE_EITHER : NK_SOURCE_NODE;
}

/* Completes the first direction of a connection. Returns a drop reason, or NK_DROP_UNSPEC. */
static __always_inline int nk_choose(const struct nk_packet *packet, const struct nk_entrance *entrance,
				     struct nk_connection *forward)
{
	const struct nk_backend *backend;

	forward->backend = entrance->count ? nk_chosen_backend(entrance, packet) : 0;
	backend = nk_backend(forward->backend, entrance->set);
	if (!backend)
		return NK_DROP_NO_BACKEND;
	forward->use = NK_CT_SERVICE;
	forward->set = entrance->set;
	forward->to = packet->tuple;
	nk_copy_address(forward->to.destination, backend->address);
	forward->to.destination_port = backend->port;
	/* Its memory may have been another's by then: see nk_frontend(). */
	if (nk_backend(forward->backend, forward->set) != backend)
		return NK_DROP_NO_BACKEND;
	forward->time_ns = bpf_ktime_get_coarse_ns();
	forward->seen = nk_shown(packet);
	return NK_DROP_UNSPEC;
}
