/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The only place that counts and reports a refusal of a packet; the prefilter has its own for frames. */
#pragma once

#include "lib/config.h"
#include "lib/counters.h"
#include "lib/endpoints.h"
#include "lib/event.h"

/* Out of line: refusals are rare, and the way of accepted packets stays small. */
static __noinline int nk_drop(struct __sk_buff *ctx, __u32 hook, __u32 reason)
{
	struct nk_refusal refusal = {
		.reason = reason,
		.hook = hook,
		.ifindex = ctx->ifindex,
		.length = ctx->len,
		.l3_offset = ETH_HLEN,
		.protocol = ctx->protocol,
	};
	struct nk_device *device;

	nk_count(reason, refusal.length);
	if (!nk_monitored())
		return TCX_DROP;
	/* There netkit shows the pod's own interface number, which may be another device's number on the host. */
	if (hook == NK_HOOK_TO_POD && nk_config.netkit)
		refusal.ifindex = 0;
	device = nk_device(refusal.ifindex);
	if (device)
		refusal.endpoint_id = device->endpoint_id;
	nk_report(ctx, false, &refusal);
	return TCX_DROP;
}
