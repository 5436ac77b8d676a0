/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which node has sent a packet by the overlay, and by which uplink an answer to it leaves. */
#pragma once

#include "lib/encap.h"
#include "lib/tuple.h"
#include "lib/tunnels.h"

/* NULL: none of ours, by the addresses that nodes are known by in the overlay. */
static __noinline const struct nk_tunnel *nk_sender(struct __sk_buff *ctx)
{
	const struct nk_tunnel *tunnel;
	struct bpf_tunnel_key key;

	if (!bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), 0)) {
		__u32 node = bpf_htonl(key.remote_ipv4);

		tunnel = nk_tunnel4(node);
		return tunnel && nk_is_its_node4(tunnel, node) && key.tunnel_id == nk_config.vni ? tunnel : NULL;
	}
	if (bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), BPF_F_TUNINFO_IPV6))
		return NULL;
	tunnel = nk_tunnel6(key.remote_ipv6);
	return tunnel && nk_is_its_node6(tunnel, key.remote_ipv6) && key.tunnel_id == nk_config.vni ? tunnel : NULL;
}

static __always_inline bool nk_is_tunnelled(const __u32 *address)
{
	return nk_is_mapped(address) ? nk_tunnel4(address[3]) : nk_tunnel6(address);
}

/*
 * Towards who has sent the packet: `here`, by which it came. Whom another node has led here came by that node's device,
 * and his answers leave by the uplink that leads there.
 */
static __noinline __u32 nk_device_back(struct __sk_buff *ctx, const __u32 *client, __u32 here, __u32 hook)
{
	const struct nk_tunnel *sender;

	if (hook != NK_HOOK_FROM_OVERLAY || nk_is_tunnelled(client))
		return here;
	sender = nk_sender(ctx);
	return sender ? sender->way.ifindex : here;
}
