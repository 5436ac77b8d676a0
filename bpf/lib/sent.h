/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What our programs send to an uplink or to a pod's device bears a mark, so that the program there (to_netdev, to_pod)
 * has no need to look for an answer in it. skb->tc_index, as in lib/verdict.h: who forges it gets his answers under an
 * address that nobody has asked.
 */
#pragma once

#include "lib/config.h"

#define NK_SENT_COOKIE 0x6e73

static __always_inline void nk_mark_sent(struct __sk_buff *ctx)
{
	if (nk_config.services)
		ctx->tc_index = NK_SENT_COOKIE;
}

static __always_inline bool nk_is_sent(const struct __sk_buff *ctx)
{
	return ctx->tc_index == NK_SENT_COOKIE;
}
