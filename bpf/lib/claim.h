/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A connection's two entries: the answers' first, which claims their tuple among all CPUs. */
#pragma once

#include <linux/errno.h>
#include "lib/connection.h"
#include "lib/echo.h"
#include "lib/ending.h"

#define NK_PORT_TRIES 32

static __always_inline long nk_enter_connection(const struct nk_tuple *tuple, const struct nk_connection *connection)
{
	return bpf_map_update_elem(&nk_ct_v1, tuple, connection, BPF_NOEXIST);
}

/* The answers' entry, which claims their tuple: nobody else's answers look like that. 0 or -errno. */
static __always_inline long nk_claim(const struct nk_connection *forward, const struct nk_connection *reply)
{
	struct nk_tuple back;

	nk_reverse(&back, &forward->to);
	return nk_enter_connection(&back, reply);
}

/* What becomes of the answers to a packet that becomes what `forward` says. */
static __always_inline struct nk_connection nk_reply_of(const struct nk_connection *forward,
							const struct nk_packet *packet)
{
	struct nk_connection reply = *forward;

	nk_reverse(&reply.to, &packet->tuple);
	reply.reply = 1;
	reply.seen = 0;
	return reply;
}

/* Echo has one for both. */
static __always_inline void nk_set_source_port(struct nk_tuple *to, __u32 port)
{
	to->source_port = bpf_htons(port);
	if (nk_is_echo(to))
		to->destination_port = to->source_port;
}

/* With a source port from `first` to `last`. `hash`: where to look for one. */
static __noinline long nk_claim_one_of(struct nk_connection *forward, const struct nk_connection *reply, __u32 first,
				       __u32 last, __u32 hash)
{
	__u32 span = last - first + 1U, step = hash >> 16 | 1;

	for (__u32 i = 0; i < NK_PORT_TRIES; i++) {
		long taken;

		nk_set_source_port(&forward->to, first + (hash + i * step) % span);
		taken = nk_claim(forward, reply);
		if (taken != -EEXIST)
			return taken;
	}
	return -EEXIST;
}

/* `claimed`: what became of the answers' entry. Returns a drop reason, or NK_DROP_UNSPEC: both are there. */
static __noinline int nk_opened(const struct nk_packet *packet, const struct nk_connection *forward, long claimed)
{
	struct nk_tuple back;
	long status;

	if (claimed == -EEXIST)
		return NK_DROP_PORTS_EXHAUSTED;
	if (claimed == -EADDRNOTAVAIL)
		return NK_DROP_UNREACHABLE_BACKEND;
	if (claimed)
		return NK_DROP_CONNECTIONS_FULL;
	status = nk_enter_connection(&packet->tuple, forward);
	if (!status)
		return NK_DROP_UNSPEC;
	nk_reverse(&back, &forward->to);
	bpf_map_delete_elem(&nk_ct_v1, &back);
	/* Another CPU has just opened it: a client that asks twice. */
	return status == -EEXIST ? NK_DROP_UNSPEC : NK_DROP_CONNECTIONS_FULL;
}
