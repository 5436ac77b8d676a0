/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Direct server return (DSR): a client whose backend is a pod of another node is led to that node as it came, by the
 * overlay, and the node answers the client itself, under the address that was asked for. Each node chooses among its
 * own pods, while it knows any (nk_inner_entrance). So answers take one hop less, the pod sees the client, and the
 * tunnel says who may lead here.
 */
#pragma once

#include "lib/ending.h"
#include "lib/leave.h"
#include "lib/onward.h"
#include "lib/route.h"

/*
 * The backend's node is not reached so, for a moment or for good. Who can begin anew does, and a stream goes on when
 * the tunnel is back.
 */
static __noinline int nk_lost_track(struct __sk_buff *ctx, const struct nk_packet *packet,
				    const struct nk_connection *connection, __u32 hook)
{
	if (!packet->quoted && (packet->tuple.protocol != IPPROTO_TCP || nk_begins(packet)))
		nk_take_out(&packet->tuple, connection);
	return nk_drop(ctx, hook, NK_DROP_UNREACHABLE_BACKEND);
}

static __always_inline bool nk_is_by_tunnel(const struct nk_way *way)
{
	return way->mtu && (way->kind == NK_WAY_TUNNEL || way->kind == NK_WAY_WRAP);
}

/* By the overlay's device. NULL: only a router is known that leads there, or nobody. */
static __always_inline const struct nk_tunnel *nk_tunnel_by(const struct nk_way *way)
{
	if (!way->mtu || way->kind != NK_WAY_REMOTE)
		return NULL;
	return nk_tunnel_beside(way->nexthop.nh_family, way->nexthop.ipv6_nh);
}

/* What goes through on the way there. 0: it is not known. */
static __noinline __u32 nk_mtu_led(const struct nk_way *way)
{
	const struct nk_tunnel *tunnel;

	if (nk_is_by_tunnel(way))
		return way->mtu;
	tunnel = nk_tunnel_by(way);
	return tunnel ? tunnel->way.mtu : 0;
}

static __noinline int nk_lead_by_device(struct __sk_buff *ctx, const struct nk_tunnel *tunnel, __u32 hook)
{
	struct ethhdr *eth = nk_linear(ctx, sizeof(*eth));

	if (!eth)
		return nk_drop(ctx, hook, NK_DROP_MALFORMED);
	return nk_leave_by_device(ctx, eth, tunnel, hook);
}

static __noinline bool nk_hop(struct __sk_buff *ctx, bool ipv4)
{
	struct ethhdr *eth = ipv4 ? nk_ipv4_frame(ctx) : nk_ipv6_frame(ctx);

	if (!eth)
		return false;
	if (ipv4)
		nk_hop4((void *)(eth + 1));
	else
		nk_hop6(ctx, (void *)(eth + 1));
	return true;
}

static __noinline int nk_lead_on(struct __sk_buff *ctx, const struct nk_packet *packet,
				 const struct nk_connection *connection, struct nk_way *way, __u32 hook)
{
	const struct nk_tunnel *tunnel = NULL;
	int verdict;

	if (!nk_is_by_tunnel(way)) {
		tunnel = nk_tunnel_by(way);
		if (!tunnel)
			return nk_lost_track(ctx, packet, connection, hook);
	}
	if (!nk_hop(ctx, nk_is_mapped(connection->to.destination)))
		return nk_drop(ctx, hook, NK_DROP_MALFORMED);
	if (!tunnel) {
		verdict = nk_wrap(ctx, way, hook);
		if (verdict != NK_UNTOUCHED)
			return verdict;
		tunnel = nk_tunnel_to(connection->to.destination);
	}
	return nk_lead_by_device(ctx, tunnel, hook);
}
