// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The fail-closed promise on veth, whose ends pass packets when no program is attached: a direct-action filter on the
 * clsact qdisc of the host end, on ingress and on egress, attached before the device goes up. Filters run behind tcx
 * programs, and ours there end the chain; so a packet gets here only when ours is missing, or when it accepted and
 * programs stand behind it (nk_config.after_hooks), which the packet then shows. Verdicts: TC_ACT_OK, TC_ACT_SHOT.
 */
#include <linux/pkt_cls.h>
#include "lib/config.h"
#include "lib/verdict.h"

SEC("tc")
int nk_backstop(struct __sk_buff *ctx)
{
	if (!nk_config.after_hooks || ctx->tc_index != nk_accepted_word(ctx))
		return TC_ACT_SHOT;
	ctx->tc_index = 0;
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
