/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The constants of a loaded program. It is the only thing in .rodata, at offset 0: the agent finds it there in embedded
 * and in freshly compiled objects alike. Without the agent's values a program only checks and accepts.
 */
#pragma once

#include "lib/base.h"

volatile const struct nk_config nk_config = {};

static __always_inline bool nk_translates(void)
{
	return nk_config.services || nk_config.masquerade;
}

/* Whether this program hands packets to devices itself: never past hooks that stand behind it. */
static __always_inline bool nk_may_forward(void)
{
	return nk_config.fast_path && !nk_config.after_hooks;
}
