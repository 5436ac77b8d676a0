/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

/* In place of a verdict: the packet is not the function's to decide about. */
#define NK_UNTOUCHED 0x100
