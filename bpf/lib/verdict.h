/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How our programs let a packet go on. Netkit and tcx use the same numbers (NETKIT_PASS = TCX_PASS, ...).
 *
 * Without programs behind ours we answer PASS, which ends the chain. With them we answer NEXT: they see every packet
 * that we accepted, and nothing else. On veth NEXT also leads to the backstop, which drops what no program of ours
 * accepted. skb->tc_index tells it, mixed with the device, so an acceptance on one device says nothing on another.
 * Not skb->cb: there a pod's source-route option shines through. Who may attach filters in the pod (CAP_NET_ADMIN) can
 * forge tc_index as well, so a backstop without programs to wait for (after_hooks 0) believes nobody.
 */
#pragma once

#include "lib/config.h"

static __always_inline __u16 nk_accepted_word(const struct __sk_buff *ctx)
{
	return (__u16)(NK_ACCEPTED_COOKIE ^ ctx->ifindex);
}

/* A pod's device: the packet may go on. */
static __always_inline int nk_accept(struct __sk_buff *ctx)
{
	if (!nk_config.after_hooks)
		return TCX_PASS;
	if (!nk_config.netkit)
		ctx->tc_index = nk_accepted_word(ctx);
	return TCX_NEXT;
}

/* Behind our program on veth: what it accepted goes on, what it has not seen does not. */
static __always_inline int nk_only_accepted(struct __sk_buff *ctx)
{
	if (!nk_config.after_hooks || ctx->tc_index != nk_accepted_word(ctx))
		return TCX_DROP;
	ctx->tc_index = 0;
	return TCX_NEXT;
}

/* The uplink: not ours to decide; whatever else is attached there sees the packet, then the stack. */
static __always_inline int nk_pass_on(void)
{
	return TCX_NEXT;
}
