/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections of direct pods to the outside, under the node's address. Whatever cannot be translated here is left to
 * the stack and its own table, but never a part of a connection: what has an entry is followed, what has none and does
 * not begin a connection goes to the stack, which may know it from before.
 *
 * A source port is kept where it is free: no other connection's answers look like that, no socket of the node would get
 * them, and who is answered cannot mean a service. Else it is one of the node's range; when that has none left for a
 * server, any other one that is free.
 */
#pragma once

#include "abi/masquerade.h"
#include "lib/address.h"
#include "lib/ask.h"
#include "lib/entrance.h"
#include "lib/masquerade.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct nk_exit);
	__uint(max_entries, 64);
} nk_exit_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_unmasked);
	__type(value, __u32);
	__uint(max_entries, 1);
} nk_unmasked_v1 SEC(".maps");

#define NK_FIRST_ANY_PORT 1024
#define NK_ANY_PORT_TRIES 16

/* What is smaller fits through every uplink (RFC 8200, 5); IPv4's least is smaller, and nobody has it. */
#define NK_LEAST_MTU 1280

static __always_inline const struct nk_exit *nk_exit(__u32 uplink)
{
	return bpf_map_lookup_elem(&nk_exit_v1, &uplink);
}

static __always_inline const __u32 *nk_exit_address(const struct nk_exit *exit, const __u32 *like)
{
	return nk_is_mapped(like) ? exit->address4 : exit->address6;
}

static __always_inline bool nk_is_masked(const struct nk_unmasked *whom)
{
	return nk_config.masquerade && !bpf_map_lookup_elem(&nk_unmasked_v1, whom);
}

/* Whether pods' packets to an address that is neither a pod's nor a node's may leave under the node's. */
static __always_inline bool nk_masked4(__u32 address)
{
	struct nk_unmasked whom = { .length = 128 };
	__u32 first = bpf_ntohl(address) >> 24;

	if (!first || first >= 224)
		return false;
	nk_map4(whom.address, address);
	return nk_is_masked(&whom);
}

static __always_inline bool nk_masked6(const struct in6_addr *address)
{
	struct nk_unmasked whom = { .length = 128 };
	__u32 first = bpf_ntohl(address->s6_addr32[0]);

	if (first >> 24 == 0xff || first >> 22 == 0xfe80 >> 6 || nk_unspecified6(address))
		return false;
	nk_copy_address(whom.address, address);
	return nk_is_masked(&whom);
}

/* Whether the source is where a service is asked for: whoever opens that port to somebody gets what he asks of it. */
static __noinline bool nk_has_entrance(const struct nk_tuple *to)
{
	struct nk_service_address service;
	struct nk_tuple answer;

	if (!nk_config.services)
		return false;
	nk_reverse(&answer, to);
	service = nk_service_asked(&answer);
	return bpf_map_lookup_elem(&nk_entrance_v1, &service);
}

/* Whether the source port may stay what it is, if nobody else's answers look like that. */
static __always_inline bool nk_may_keep_port(struct __sk_buff *ctx, const struct nk_tuple *to,
					     const struct nk_exit *exit)
{
	__u16 port = bpf_ntohs(to->source_port);

	if (port >= exit->stack_first_port && port <= exit->stack_last_port)
		return false;
	return !nk_is_the_nodes(ctx, to, true, true) && !nk_has_entrance(to);
}

/* Below the range. It is not large, and all connections to one server share it: names are asked for often. */
static __always_inline long nk_claim_any_port(struct __sk_buff *ctx, struct nk_connection *forward,
					      const struct nk_connection *reply, const struct nk_exit *exit)
{
	__u32 span = exit->first_port - NK_FIRST_ANY_PORT;

	if (exit->first_port <= NK_FIRST_ANY_PORT)
		return -EEXIST;
	for (__u32 i = 0; i < NK_ANY_PORT_TRIES; i++) {
		long taken;

		nk_set_source_port(&forward->to, NK_FIRST_ANY_PORT + bpf_get_prandom_u32() % span);
		if (!nk_may_keep_port(ctx, &forward->to, exit))
			continue;
		taken = nk_claim(forward, reply);
		if (taken != -EEXIST)
			return taken;
	}
	return -EEXIST;
}

static __always_inline int nk_open_masked(struct __sk_buff *ctx, const struct nk_packet *packet,
					  struct nk_connection *forward, const struct nk_exit *exit)
{
	struct nk_connection reply = nk_reply_of(forward, packet);
	long status = -EEXIST;

	forward->set = reply.set = NK_CT_SHARED_PORT;
	if (nk_may_keep_port(ctx, &forward->to, exit))
		status = nk_claim(forward, &reply);
	if (status == -EEXIST) {
		forward->set = reply.set = 0;
		status = nk_claim_one_of(forward, &reply, exit->first_port, exit->last_port, nk_hash(packet));
	}
	if (status == -EEXIST) {
		forward->set = reply.set = NK_CT_SHARED_PORT;
		status = nk_claim_any_port(ctx, forward, &reply, exit);
	}
	return nk_opened(packet, forward, status);
}

/*
 * A new connection: NK_DROP_UNSPEC, it is there; NK_TO_STACK; else why it is refused. Not static, so that the verifier
 * looks at it once.
 */
__noinline int nk_mask(struct __sk_buff *ctx, const struct nk_packet *packet)
{
	struct nk_connection forward = { .use = NK_CT_MASQUERADE };
	const struct nk_exit *exit;
	const __u32 *address;

	if (!packet || !nk_config.masquerade || nk_goes_to_overlay(&packet->tuple))
		return NK_TO_STACK;
	forward.ifindex = nk_route_out(ctx, &packet->tuple);
	exit = nk_exit(forward.ifindex);
	if (!exit)
		return NK_TO_STACK;
	address = nk_exit_address(exit, packet->tuple.source);
	if (nk_is_none(address))
		return NK_TO_STACK;
	forward.to = packet->tuple;
	nk_copy_address(forward.to.source, address);
	forward.time_ns = bpf_ktime_get_coarse_ns();
	forward.seen = nk_shown(packet);
	return nk_open_masked(ctx, packet, &forward, exit);
}

/*
 * Of a pod's own direction. A port that is used anew begins a new connection. A flow of datagrams has no end, but the
 * node may have lost the address that it leaves with; once a second is enough to see that.
 */
static __noinline bool nk_masked_anew(const struct nk_packet *packet, const struct nk_connection *connection)
{
	const struct nk_exit *exit;
	struct nk_tuple back;

	if (packet->tuple.protocol == IPPROTO_TCP) {
		if (!nk_begins(packet))
			return false;
		nk_reverse(&back, &connection->to);
		return nk_is_over(connection, nk_connection(&back));
	}
	if (bpf_ktime_get_coarse_ns() - connection->time_ns < NK_NS_PER_S)
		return false;
	exit = nk_exit(connection->ifindex);
	return !exit || !nk_same_address(nk_exit_address(exit, connection->to.source), connection->to.source);
}

/* An error about a connection comes from one of its ends, and so from that pod's device. */
static __always_inline bool nk_speaks_for_itself(struct __sk_buff *ctx, const struct nk_packet *packet)
{
	const struct nk_endpoint *ep = nk_pod_here(packet->tuple.source);

	return ep && ep->ifindex == ctx->ifindex;
}

/*
 * The connection of a packet that a pod sends, old or new. NULL: `reason` says why there is none. `kind`: of its way,
 * as nk_depart4() has it. The last hop is the stack's to answer.
 */
static __always_inline struct nk_connection *nk_pods_connection(struct __sk_buff *ctx, const struct nk_packet *packet,
								__u32 kind, int *reason)
{
	struct nk_connection *connection = nk_continued(packet);

	*reason = NK_TO_STACK;
	if (packet->quoted)
		return connection && nk_speaks_for_itself(ctx, packet) ? connection : NULL;
	if (nk_config.masquerade && connection && connection->use == NK_CT_MASQUERADE) {
		if (unlikely(packet->hops <= 1))
			return NULL;
		if (likely(!nk_masked_anew(packet, connection)))
			return connection;
		nk_take_out(&packet->tuple, connection);
	} else if (connection) {
		return connection;
	}
	if (kind == NK_WAY_DEVICE || packet->hops <= 1 || packet->fragment == NK_LATER_FRAGMENT)
		return NULL;
	if (packet->tuple.protocol != IPPROTO_UDP && !nk_begins(packet))
		return NULL;
	*reason = nk_ask(ctx, packet);
	if (*reason == NK_TO_STACK && kind == NK_WAY_MASKED)
		*reason = nk_mask(ctx, packet);
	return *reason == NK_DROP_UNSPEC ? nk_connection(&packet->tuple) : NULL;
}

/* The MTU of a connection's uplink, if the packet is too large for it; else 0. */
static __noinline __u32 nk_too_large_out(struct __sk_buff *ctx, const struct nk_packet *packet, __u32 uplink)
{
	__u32 mtu = 0;

	bpf_check_mtu(ctx, uplink, &mtu, 0, 0);
	return !mtu || nk_goes_through(ctx, packet, mtu) ? 0 : mtu;
}

static __always_inline bool nk_may_be_too_large(const struct __sk_buff *ctx, const struct nk_packet *packet,
						const struct nk_connection *connection)
{
	return !connection->reply && !packet->quoted && ctx->len - ETH_HLEN > NK_LEAST_MTU;
}

static __always_inline bool nk_may_depart(void)
{
	return nk_translates() && nk_may_forward();
}

/*
 * What a pod sends to where the stack would be next. `kind`: NK_WAY_DEVICE, all of it is the stack's but what belongs
 * to a connection; NK_WAY_OUTSIDE, it may ask for a service; NK_WAY_MASKED, or else leave under the node's address.
 * REDIRECT or DROP, what leads up the stack, or NK_UNTOUCHED: it is the stack's.
 */
static __noinline int nk_depart4(struct __sk_buff *ctx, __u32 kind)
{
	struct nk_connection *connection;
	struct nk_packet packet;
	__u32 mtu = 0;
	int reason;

	if (!nk_parse4(ctx, &packet))
		return NK_UNTOUCHED;
	connection = nk_pods_connection(ctx, &packet, kind, &reason);
	if (!connection && reason == NK_DROP_NO_BACKEND)
		return nk_refuse4(ctx, &packet, NK_HOOK_FROM_POD, reason, 0);
	if (!connection)
		return reason > 0 ? nk_drop(ctx, NK_HOOK_FROM_POD, reason) : NK_UNTOUCHED;
	if (nk_may_be_too_large(ctx, &packet, connection))
		mtu = nk_too_large_out(ctx, &packet, connection->ifindex);
	if (unlikely(mtu))
		return nk_refuse4(ctx, &packet, NK_HOOK_FROM_POD, NK_DROP_TOO_BIG, mtu);
	return nk_follow4(ctx, &packet, connection, NK_HOOK_FROM_POD);
}

static __noinline int nk_depart6(struct __sk_buff *ctx, __u32 kind)
{
	struct nk_connection *connection;
	struct nk_packet packet;
	__u32 mtu = 0;
	int reason;

	if (!nk_parse6(ctx, &packet))
		return NK_UNTOUCHED;
	connection = nk_pods_connection(ctx, &packet, kind, &reason);
	if (!connection && reason == NK_DROP_NO_BACKEND)
		return nk_refuse6(ctx, &packet, NK_HOOK_FROM_POD, reason, 0);
	if (!connection)
		return reason > 0 ? nk_drop(ctx, NK_HOOK_FROM_POD, reason) : NK_UNTOUCHED;
	if (nk_may_be_too_large(ctx, &packet, connection))
		mtu = nk_too_large_out(ctx, &packet, connection->ifindex);
	if (unlikely(mtu))
		return nk_refuse6(ctx, &packet, NK_HOOK_FROM_POD, NK_DROP_TOO_BIG, mtu);
	return nk_follow6(ctx, &packet, connection, NK_HOOK_FROM_POD);
}
