/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What goes around a packet on the overlay: VXLAN, RFC 7348. The device unwraps all of them, and wraps what the stack
 * sends; what from_pod sends it wraps itself, which spares the device's queue and the kernel's search for a route.
 *
 * All nodes' devices have one MAC, and all frames another one as their source, since a device refuses what claims to
 * come from itself: so no node has to know the MAC of another.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include "lib/config.h"
#include "lib/flow.h"

/* NK_OVERLAY_MAC, then the sender's, as three words of an Ethernet header. */
#define NK_OVERLAY_WORD0 bpf_htonl(0x026e6b00)
#define NK_OVERLAY_WORD1 bpf_htonl(0x0001026e)
#define NK_OVERLAY_WORD2 bpf_htonl(0x6b000000)

#define NK_VXLAN_HAS_VNI bpf_htonl(0x08000000)
#define NK_TTL		 64

/* Outer IPv4, UDP and VXLAN, and the inner Ethernet header. */
#define NK_WRAPPING (20 + 8 + 8 + ETH_HLEN)
/* The same over IPv6. */
#define NK_WRAPPING_IPV6 (NK_WRAPPING + 20)
#define NK_MOST_INSIDE	 (0xffff - NK_WRAPPING)

static __always_inline void nk_set_overlay_macs(void *eth)
{
	__u32 *macs = eth;

	macs[0] = NK_OVERLAY_WORD0;
	macs[1] = NK_OVERLAY_WORD1;
	macs[2] = NK_OVERLAY_WORD2;
}

/* On the device's egress: from_pod sent it, with all that the device needs. The stack writes the device's own MAC. */
static __always_inline bool nk_has_overlay_macs(const struct ethhdr *eth)
{
	const __u32 *macs = (const void *)eth;

	return macs[1] == NK_OVERLAY_WORD1 && macs[2] == NK_OVERLAY_WORD2;
}

/* The device wraps it. Without a checksum around IPv4, as RFC 7348 has it. */
static __always_inline void nk_encapsulate(struct __sk_buff *ctx, const struct nk_tunnel *tunnel)
{
	const __u32 *node = (const void *)tunnel->node.bytes;
	struct bpf_tunnel_key key = { .tunnel_id = nk_config.vni };

	if (tunnel->family == NK_AF_INET) {
		key.remote_ipv4 = bpf_ntohl(node[0]);
		bpf_skb_set_tunnel_key(ctx, &key, sizeof(key), BPF_F_ZERO_CSUM_TX);
	} else {
		__builtin_memcpy(key.remote_ipv6, node, sizeof(key.remote_ipv6));
		bpf_skb_set_tunnel_key(ctx, &key, sizeof(key), BPF_F_TUNINFO_IPV6);
	}
}

/*
 * The headers, word by word, into the room behind the frame's own Ethernet header; `bytes`: of the inner IP packet.
 *
 * An outer packet may be cut on its way (no DF), since nobody would hear that it was too big: so it has an identity.
 * The source port keeps the packets of a connection together and connections apart (RFC 7348 section 5).
 */
static __always_inline void nk_write_wrapping(__u32 *word, const struct nk_way *way, __u32 bytes, __u32 hash,
					      __u16 protocol)
{
	__u32 local = bpf_ntohl(way->ends.local), node = bpf_ntohl(way->ends.node);
	__u32 id = bpf_get_prandom_u32() & 0xffff, length = bytes + NK_WRAPPING, hops = NK_TTL << 8 | IPPROTO_UDP, sum;

	sum = 0x4500 + length + id + hops + (local >> 16) + (local & 0xffff) + (node >> 16) + (node & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	word[0] = bpf_htonl(0x45000000 | length);
	word[1] = bpf_htonl(id << 16);
	word[2] = bpf_htonl(hops << 16 | (~sum & 0xffff));
	word[3] = bpf_htonl(local);
	word[4] = bpf_htonl(node);
	word[5] = bpf_htonl((0xc000 | (hash & 0x3fff)) << 16 | bpf_ntohs(nk_config.vxlan_port));
	word[6] = bpf_htonl((length - 20) << 16);
	word[7] = NK_VXLAN_HAS_VNI;
	word[8] = bpf_htonl(nk_config.vni << 8);
	nk_set_overlay_macs(word + 9);
	*(__u16 *)(word + 12) = protocol;
}

/* Room for the wrapping. False: segments of this kind cannot be cut inside it; the frame is as it was. */
static __always_inline bool nk_make_room(struct __sk_buff *ctx)
{
	return !bpf_skb_adjust_room(ctx, NK_WRAPPING, BPF_ADJ_ROOM_MAC,
				    BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 |
					    BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN) |
					    BPF_F_ADJ_ROOM_ENCAP_L2_ETH);
}

/* Whether the packet came in our network from this IPv4 address. */
static __always_inline bool nk_came_from4(struct __sk_buff *ctx, __u32 node)
{
	struct bpf_tunnel_key key;

	return !bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), 0) && key.tunnel_id == nk_config.vni &&
	       key.remote_ipv4 == bpf_ntohl(node);
}

/* The same for the node that sends for `owner`. */
static __always_inline bool nk_came_from(struct __sk_buff *ctx, const struct nk_tunnel *owner)
{
	const __u32 *node = (const void *)owner->node.bytes;
	struct bpf_tunnel_key key;

	if (owner->family == NK_AF_INET)
		return nk_came_from4(ctx, node[0]);
	return !bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), BPF_F_TUNINFO_IPV6) && key.tunnel_id == nk_config.vni &&
	       key.remote_ipv6[0] == node[0] && key.remote_ipv6[1] == node[1] && key.remote_ipv6[2] == node[2] &&
	       key.remote_ipv6[3] == node[3];
}

static __always_inline bool nk_in_our_network(struct __sk_buff *ctx)
{
	struct bpf_tunnel_key key;

	return (!bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), 0) ||
		!bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), BPF_F_TUNINFO_IPV6)) &&
	       key.tunnel_id == nk_config.vni;
}
