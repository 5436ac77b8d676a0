/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Checksums that a pod leaves to the device (CHECKSUM_PARTIAL): it says where they start and where they go, by
 * PACKET_VNET_HDR wherever it likes, and the device writes them after every program has looked. In an IP header that
 * would be another source than the one that was proven, in a transport's header another port.
 */
#pragma once

#include "lib/base.h"

#include <bpf/bpf_core_read.h>

#define NK_CHECKSUM_PARTIAL 3 /* of linux/skbuff.h */
#define NK_WHOLE_FRAME	    0x7fffffff
#define NK_BEFORE_CHECKSUM  6 /* bytes of every transport's header, the ports among them (UDP's comes first) */

/* What we read of the kernel's struct, wherever it lies there. */
struct sk_buff {
	unsigned char *head, *data;
	__u16 csum_start, csum_offset;
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

/*
 * Whether what is still to be written lies in the first `bytes` of the frame, its headers up to the transport's, or in
 * the transport's ports.
 */
static __always_inline bool nk_is_summed_within(struct __sk_buff *ctx, __s64 bytes)
{
	const struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);
	__s64 headroom, start;

	if (BPF_CORE_READ_BITFIELD(skb, ip_summed) != NK_CHECKSUM_PARTIAL)
		return false;
	headroom = skb->data - skb->head;
	/* The verifier lets pointers be subtracted from each other, but not in the order that clang would like better.
	 */
	asm volatile("" : "+r"(headroom));
	start = (__s64)skb->csum_start - headroom;
	return start < bytes || start + skb->csum_offset < bytes + NK_BEFORE_CHECKSUM;
}
