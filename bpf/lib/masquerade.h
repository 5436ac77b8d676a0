/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers to pods that this node speaks for, on an uplink. A connection's port may be one that the kernel can give to a
 * socket of the node later on: the node's own sockets come first.
 */
#pragma once

#include "lib/claim.h"
#include "lib/service_path.h"

static __always_inline bool nk_gets_segment(struct __sk_buff *ctx, struct bpf_sock_tuple *asked, __u32 bytes,
					    bool begins)
{
	struct bpf_sock *socket = bpf_skc_lookup_tcp(ctx, asked, bytes, BPF_F_CURRENT_NETNS, 0);
	bool does;

	if (!socket)
		return false;
	does = begins || socket->state != BPF_TCP_LISTEN;
	bpf_sk_release(socket);
	return does;
}

static __always_inline bool nk_gets_datagram(struct __sk_buff *ctx, struct bpf_sock_tuple *asked, __u32 bytes)
{
	struct bpf_sock *socket = bpf_sk_lookup_udp(ctx, asked, bytes, BPF_F_CURRENT_NETNS, 0);

	if (!socket)
		return false;
	bpf_sk_release(socket);
	return true;
}

/*
 * Whether a socket of the node would get what looks like this, or like an answer to it. One that listens gets what
 * begins.
 */
static __noinline bool nk_is_the_nodes(struct __sk_buff *ctx, const struct nk_tuple *tuple, bool answer, bool begins)
{
	const __u32 *from = answer ? tuple->destination : tuple->source;
	const __u32 *to = answer ? tuple->source : tuple->destination;
	__u16 from_port = answer ? tuple->destination_port : tuple->source_port;
	__u16 to_port = answer ? tuple->source_port : tuple->destination_port;
	struct bpf_sock_tuple asked = {};
	__u32 bytes;

	if (nk_is_mapped(from)) {
		asked.ipv4.saddr = from[3];
		asked.ipv4.daddr = to[3];
		asked.ipv4.sport = from_port;
		asked.ipv4.dport = to_port;
		bytes = sizeof(asked.ipv4);
	} else {
		nk_copy_address(asked.ipv6.saddr, from);
		nk_copy_address(asked.ipv6.daddr, to);
		asked.ipv6.sport = from_port;
		asked.ipv6.dport = to_port;
		bytes = sizeof(asked.ipv6);
	}
	if (tuple->protocol == IPPROTO_TCP)
		return nk_gets_segment(ctx, &asked, bytes, begins);
	return tuple->protocol == IPPROTO_UDP && nk_gets_datagram(ctx, &asked, bytes);
}

/*
 * What looks like a pod's answer is the node's own when it has a socket for that, which it got the port for since: the
 * pod begins anew with another one.
 */
static __always_inline bool nk_comes_back(struct __sk_buff *ctx, const struct nk_packet *packet,
					  const struct nk_connection *connection)
{
	if (!nk_config.masquerade || connection->use != NK_CT_MASQUERADE || !connection->reply)
		return true;
	if (packet->quoted || connection->set != NK_CT_SHARED_PORT ||
	    !nk_is_the_nodes(ctx, &packet->tuple, false, nk_begins(packet)))
		return true;
	nk_take_out(&packet->tuple, connection);
	return false;
}
