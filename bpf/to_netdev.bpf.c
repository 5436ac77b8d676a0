// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tcx egress of the uplink, where services are served: what the stack answers to who has asked this node for one. What
 * our other programs send out is no such answer any more and bears a mark. Verdicts: NEXT, DROP.
 */
#include "lib/answer.h"
#include "lib/drop.h"
#include "lib/sent.h"
#include "lib/verdict.h"

static __always_inline int finish(struct __sk_buff *ctx, bool whole)
{
	return whole ? nk_pass_on() : nk_drop(ctx, NK_HOOK_TO_NETDEV, NK_DROP_MALFORMED);
}

SEC("tc")
int nk_to_netdev(struct __sk_buff *ctx)
{
	/* Tagged: the VLAN's own device is another uplink, and has seen it. */
	if (nk_is_sent(ctx) || !nk_config.services || ctx->vlan_present)
		return nk_pass_on();
	if (ctx->protocol == bpf_htons(ETH_P_IP))
		return finish(ctx, nk_answer4(ctx));
	if (ctx->protocol == bpf_htons(ETH_P_IPV6))
		return finish(ctx, nk_answer6(ctx));
	return nk_pass_on();
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
