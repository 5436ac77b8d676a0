/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who comes in for a service from outside of the node: the first packet of a connection, and all that follow. */
#pragma once

#include "lib/address.h"
#include "lib/lead.h"
#include "lib/masquerade.h"
#include "lib/service_path.h"

/* In place of a drop reason: nobody has asked for a service. */
#define NK_NO_ENTRANCE (-1)
/* Beside one: the client is not to be told. */
#define NK_SILENTLY 0x100

enum nk_client { NK_CLIENT_OUTSIDE, NK_CLIENT_INSIDE, NK_CLIENT_FALSE, NK_CLIENT_NONE };

/* The value says nothing: who finds one is let in. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nk_range);
	__type(value, __u32);
	__uint(max_entries, 1);
} nk_range_v1 SEC(".maps");

/* As nk_frontend(): a copy. False: there is none, or it changes all the time. */
static __noinline bool nk_entrance(const struct nk_service_address *service, struct nk_entrance *copy)
{
	for (int i = 0; i < 3; i++) {
		const struct nk_entrance *entrance = bpf_map_lookup_elem(&nk_entrance_v1, service);

		if (!entrance)
			return false;
		*copy = *entrance;
		if (bpf_map_lookup_elem(&nk_entrance_v1, service) == entrance)
			return true;
	}
	return false;
}

/* Whether a client may come in: its address is within one of the set's ranges. */
static __noinline bool nk_lets_in(const struct nk_entrance *entrance, const __u32 *client)
{
	struct nk_range range = { .length = 32 + 128, .set = bpf_htonl(entrance->set) };

	if (!(entrance->flags & NK_ENTRANCE_RANGES))
		return true;
	nk_copy_address(range.address, client);
	return bpf_map_lookup_elem(&nk_range_v1, &range);
}

/*
 * Of this node's pods none comes in on an uplink, and nobody who is reached by the overlay comes otherwise, but for the
 * nodes themselves.
 */
static __always_inline enum nk_client nk_client4(__u32 address, __u32 hook)
{
	const struct nk_tunnel *tunnel = nk_tunnel4(address);
	__u32 first = bpf_ntohl(address) >> 24;

	if (!first || first == 127 || first >= 224)
		return NK_CLIENT_NONE;
	if (nk_endpoint4(&address))
		return NK_CLIENT_FALSE;
	if (nk_remote4(address))
		return NK_CLIENT_INSIDE;
	if (tunnel && hook != NK_HOOK_FROM_OVERLAY && !nk_is_its_node(tunnel))
		return NK_CLIENT_FALSE;
	return tunnel ? NK_CLIENT_INSIDE : NK_CLIENT_OUTSIDE;
}

static __always_inline enum nk_client nk_client6(const __u32 *address, __u32 hook)
{
	const struct nk_tunnel *tunnel = nk_tunnel6(address);

	if (!(address[0] | address[1] | address[2]) || (bpf_ntohl(address[0]) >> 24) == 0xff)
		return NK_CLIENT_NONE;
	if (nk_endpoint6(address))
		return NK_CLIENT_FALSE;
	if (nk_remote6(address))
		return NK_CLIENT_INSIDE;
	if (tunnel && hook != NK_HOOK_FROM_OVERLAY && !nk_is_its_node(tunnel))
		return NK_CLIENT_FALSE;
	return tunnel ? NK_CLIENT_INSIDE : NK_CLIENT_OUTSIDE;
}

static __noinline int nk_client(const __u32 *address, __u32 hook)
{
	return nk_is_mapped(address) ? nk_client4(address[3], hook) : nk_client6(address, hook);
}

/* Whether a client that is led to the backend's node can have its answers from there (lib/direct.h): only a pod's. */
static __noinline bool nk_answers_itself(const __u32 *backend)
{
	const struct nk_tunnel *tunnel = nk_tunnel_to(backend);
	const struct nk_remote *remote;

	if (tunnel)
		return !nk_is_its_node(tunnel);
	remote = nk_is_mapped(backend) ? nk_remote4(backend[3]) : nk_remote6(backend);
	return remote && nk_tunnel_beside(remote->nexthop_family, remote->nexthop.bytes);
}

/* Its first packet. Returns a drop reason, or NK_DROP_UNSPEC: it is there. */
static __always_inline int nk_open_direct(const struct nk_packet *packet, struct nk_connection *forward)
{
	long status;

	forward->use = NK_CT_DIRECT;
	status = nk_enter_connection(&packet->tuple, forward);
	return !status || status == -EEXIST ? NK_DROP_UNSPEC : NK_DROP_CONNECTIONS_FULL;
}

static __always_inline int nk_lead(struct __sk_buff *ctx, const struct nk_packet *packet,
				   const struct nk_entrance *entrance, bool inside, __u32 hook)
{
	const struct nk_tuple *asked = &packet->tuple;
	struct nk_connection forward = { .ifindex = nk_device_back(ctx, asked->source, asked->destination, hook) };
	int reason = nk_choose(packet, entrance, &forward);

	if (!reason && !forward.ifindex)
		return NK_DROP_UNREACHABLE_BACKEND;
	if (!reason && nk_config.vni && entrance->flags & NK_ENTRANCE_DIRECT && !inside &&
	    nk_answers_itself(forward.to.destination))
		return nk_open_direct(packet, &forward);
	if (!reason)
		return nk_open(packet, &forward, nk_source_for(forward.to.destination, inside));
	/* A balancer asks around who serves: silence is what it goes by when only this node's backends count. */
	return reason | (entrance->flags & NK_ENTRANCE_KEEP_SOURCE ? NK_SILENTLY : 0);
}

/*
 * The one for whom another node leads here. He has asked at that node's address, or at one that is the same everywhere;
 * a node's port is the same on all of them.
 */
static __noinline bool nk_inner_entrance(const struct nk_tuple *asked, struct nk_entrance *entrance)
{
	struct nk_service_address service = nk_service_asked(asked);
	__u32 zero = 0;
	const struct nk_self *self = bpf_map_lookup_elem(&nk_self_v1, &zero);

	service.led = 1;
	if (nk_entrance(&service, entrance))
		return true;
	if (!self || !nk_tunnel_to(asked->destination))
		return false;
	nk_copy_address(service.address, nk_is_mapped(asked->destination) ? self->address4 : self->address6);
	return nk_entrance(&service, entrance);
}

/* Who comes from the overlay and is nobody of the cluster has been led here. Apart from what follows, for the stack. */
static __noinline bool nk_entered(const struct nk_packet *packet, struct nk_entrance *entrance, __u32 hook)
{
	struct nk_service_address service;

	if (hook == NK_HOOK_FROM_OVERLAY && nk_client(packet->tuple.source, hook) == NK_CLIENT_OUTSIDE)
		return nk_inner_entrance(&packet->tuple, entrance);
	service = nk_service_asked(&packet->tuple);
	return nk_entrance(&service, entrance);
}

/*
 * A drop reason, NK_DROP_UNSPEC: the connection is there now, or NK_NO_ENTRANCE. Not static, so that the verifier looks
 * at it once and not for every kind of packet.
 */
__noinline int nk_admit(struct __sk_buff *ctx, const struct nk_packet *packet, __u32 hook)
{
	struct nk_entrance entrance;
	int client;

	if (!packet || !nk_config.services || !nk_entered(packet, &entrance, hook))
		return NK_NO_ENTRANCE;
	client = nk_client(packet->tuple.source, hook);
	if (client == NK_CLIENT_NONE)
		return NK_NO_ENTRANCE;
	if (client == NK_CLIENT_FALSE)
		return NK_DROP_UPLINK_SPOOF;
	if (packet->tuple.protocol == IPPROTO_TCP && !nk_begins(packet))
		return NK_DROP_NO_CONNECTION;
	if (!nk_lets_in(&entrance, packet->tuple.source))
		return NK_DROP_SOURCE_RANGE;
	return nk_lead(ctx, packet, &entrance, client == NK_CLIENT_INSIDE, hook);
}

/* A client that this node has led on is led here by another one: it is served here, or it would go round in circles. */
static __always_inline bool nk_led_both_ways(const struct nk_packet *packet, const struct nk_connection *connection,
					     __u32 hook)
{
	if (hook != NK_HOOK_FROM_OVERLAY || !nk_is_direct(connection))
		return false;
	if (!packet->quoted)
		nk_take_out(&packet->tuple, connection);
	return true;
}

/* The connection of a packet, old or new. NULL: `reason` says why there is none, as nk_admit() does. */
static __always_inline struct nk_connection *nk_join(struct __sk_buff *ctx, const struct nk_packet *packet, __u32 hook,
						     int *reason)
{
	struct nk_connection *connection = nk_continued(packet);

	if (likely(connection) && !nk_led_both_ways(packet, connection, hook))
		return connection;
	*reason = packet->quoted ? NK_NO_ENTRANCE : nk_admit(ctx, packet, hook);
	if (*reason)
		return NULL;
	*reason = NK_DROP_CONNECTIONS_FULL;
	return nk_connection(&packet->tuple);
}

/* Answers come from whom they are of, and what a pod of this node sends does not come in. */
static __always_inline bool nk_may_come_in(const struct nk_connection *connection, bool proven)
{
	return connection->reply ? proven : connection->use != NK_CT_MASQUERADE;
}

/* `proven`: the source is no pod's whose packets come another way, so nobody answers in its name. */
static __noinline int nk_serve4(struct __sk_buff *ctx, __u32 hook, bool proven)
{
	struct nk_connection *connection;
	struct nk_packet packet;
	int reason;

	if (!nk_parse4(ctx, &packet))
		return NK_UNTOUCHED;
	connection = nk_join(ctx, &packet, hook, &reason);
	if (likely(connection) && unlikely(!nk_comes_back(ctx, &packet, connection)))
		return NK_UNTOUCHED;
	if (likely(connection) && nk_may_come_in(connection, proven))
		return nk_follow4(ctx, &packet, connection, hook);
	if (unlikely(connection))
		return nk_drop(ctx, hook, NK_DROP_UPLINK_SPOOF);
	if (reason == NK_NO_ENTRANCE)
		return NK_UNTOUCHED;
	if (reason & NK_SILENTLY)
		return nk_drop(ctx, hook, reason & ~NK_SILENTLY);
	return nk_refuse4(ctx, &packet, hook, reason, 0);
}

static __noinline int nk_serve6(struct __sk_buff *ctx, __u32 hook, bool proven)
{
	struct nk_connection *connection;
	struct nk_packet packet;
	int reason;

	if (!nk_parse6(ctx, &packet))
		return NK_UNTOUCHED;
	connection = nk_join(ctx, &packet, hook, &reason);
	if (likely(connection) && unlikely(!nk_comes_back(ctx, &packet, connection)))
		return NK_UNTOUCHED;
	if (likely(connection) && nk_may_come_in(connection, proven))
		return nk_follow6(ctx, &packet, connection, hook);
	if (unlikely(connection))
		return nk_drop(ctx, hook, NK_DROP_UPLINK_SPOOF);
	if (reason == NK_NO_ENTRANCE)
		return NK_UNTOUCHED;
	if (reason & NK_SILENTLY)
		return nk_drop(ctx, hook, reason & ~NK_SILENTLY);
	return nk_refuse6(ctx, &packet, hook, reason, 0);
}
