// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The fail-closed promise on veth, whose ends pass packets when no program is attached: behind our program on the host
 * end's tcx ingress and egress, attached before the device goes up, and without a link, so that it stays as long as the
 * device, whatever happens to pins. Our program ends the chain; so a packet gets here only when ours is missing, or
 * when it accepted and something stands behind it (nk_config.after_hooks), which the packet then shows. Verdicts: NEXT,
 * DROP.
 */
#include "lib/config.h"
#include "lib/verdict.h"

SEC("tc")
int nk_backstop(struct __sk_buff *ctx)
{
	return nk_only_accepted(ctx);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
