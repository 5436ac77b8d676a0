/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Translated connections between one uplink and another, at XDP: before the kernel makes a packet of the frame. Nothing
 * is decided here. tcx has served a packet of the same direction a few seconds ago and said that XDP could go on
 * (nk_connection.tick); what begins or ends a connection, and all that is unusual, goes to tcx, which serves it
 * whatever XDP does. So once in a while the kernel sees a packet to each neighbour, and asks whether it is still there.
 *
 * The way is the kernel's routes' and neighbours', asked for again each second.
 */
#pragma once

#include "lib/connection.h"
#include "lib/translate.h"
#include "lib/uplinks.h"

/* How long XDP goes on without a packet at tcx; and after a pause, of fewer ticks than nk_connection.tick can count. */
#define NK_EXPRESS_TICKS    32
#define NK_EXPRESS_PAUSE_NS (8 * NK_NS_PER_S)

/* What of a frame the way on is found by. */
struct nk_express {
	struct nk_tuple tuple __attribute__((aligned(8)));
	__u64 check; /* the transport's, from the start of its header; a word, whose value the verifier remembers */
	__u32 bytes; /* of IP packet */
};

/*
 * The transport's header, if it says nothing that tcx should know. NULL: it does. `length`: of the transport's part of
 * the packet, which lies before `end` whole.
 */
static __always_inline __u16 *nk_express_transport(struct nk_express *frame, void *header, void *end)
{
	if (frame->tuple.protocol == IPPROTO_TCP) {
		if (header + NK_TCP_BYTES > end)
			return NULL;
		if ((((const __u8 *)header)[13] & (NK_TCP_SYN | NK_TCP_FIN | NK_TCP_RST | NK_TCP_ACK)) != NK_TCP_ACK)
			return NULL;
		frame->check = 16;
	} else if (frame->tuple.protocol == IPPROTO_UDP) {
		if (header + NK_UDP_BYTES > end)
			return NULL;
		frame->check = 6;
	} else {
		return NULL;
	}
	frame->tuple.source_port = ((const __u16 *)header)[0];
	frame->tuple.destination_port = ((const __u16 *)header)[1];
	return header;
}

/* NULL: tcx has to see the packet. */
static __always_inline const struct nk_connection *nk_express_connection(const struct nk_express *frame)
{
	struct nk_connection *connection = nk_connection(&frame->tuple);
	__u64 now;

	if (!connection)
		return NULL;
	if (!(connection->tick & NK_CT_EXPRESS) || ((nk_tick() - connection->tick) & NK_CT_TICK) >= NK_EXPRESS_TICKS)
		return NULL;
	if (frame->tuple.protocol == IPPROTO_TCP) {
		/* A reset counts until its sender goes on, which tcx notes. */
		if (unlikely((connection->seen & (NK_CT_ACK | NK_CT_RST)) != NK_CT_ACK))
			return NULL;
	} else if (!connection->reply && connection->use == NK_CT_SERVICE &&
		   !nk_backend(connection->backend, connection->set)) {
		return NULL;
	}
	now = bpf_ktime_get_coarse_ns();
	if (unlikely(now - connection->time_ns >= NK_EXPRESS_PAUSE_NS))
		return NULL;
	if (unlikely(now - connection->time_ns >= NK_NS_PER_S))
		connection->time_ns = now;
	return connection;
}

/* To where `route` leads: by `uplink` if it is one, else to wherever the kernel sends what comes in here. */
static __always_inline void nk_find_express(struct xdp_md *ctx, struct nk_way *way, struct bpf_fib_lookup *route,
					    __u32 uplink)
{
	const struct nk_uplink *here = nk_uplink(ctx->ingress_ifindex), *there;

	way->kind = NK_WAY_EXPRESS;
	way->tick = nk_tick();
	way->mtu = 0;
	way->ifindex = uplink;
	route->ifindex = uplink ? uplink : ctx->ingress_ifindex;
	route->tot_len = 1; /* so that the MTU is the route's, and every packet compares with it */
	if (!here || bpf_fib_lookup(ctx, route, sizeof(*route), uplink ? BPF_FIB_LOOKUP_OUTPUT : 0))
		return;
	there = nk_uplink(route->ifindex);
	if ((uplink && route->ifindex != uplink) || !there || !(there->flags & NK_UPLINK_SENDS))
		return;
	way->ifindex = route->ifindex;
	way->mtu = route->mtu_result;
	__builtin_memcpy(way->express.macs, route->dmac, sizeof(route->dmac));
	__builtin_memcpy((void *)way->express.macs + sizeof(route->dmac), route->smac, sizeof(route->smac));
	__builtin_memcpy(way->express.own, here->mac, sizeof(here->mac));
}

static __noinline void nk_resolve_express4(struct xdp_md *ctx, struct nk_flow4 *flow, __u64 epoch,
					   const struct nk_tuple *to, __u32 uplink)
{
	struct bpf_fib_lookup route = { .family = NK_AF_INET,
					.ipv4_src = to->source[3],
					.ipv4_dst = to->destination[3] };
	const __u32 ends[2] = { to->source[3], to->destination[3] };
	struct nk_pair4 pair;

	__builtin_memcpy(&pair, ends, sizeof(pair));
	nk_after_epoch(&flow->epoch);
	nk_find_express(ctx, &flow->way, &route, uplink);
	nk_flow4_set(flow, epoch, ctx->ingress_ifindex | NK_FLOW_EXPRESS, &pair);
}

static __noinline void nk_resolve_express6(struct xdp_md *ctx, struct nk_flow6 *flow, __u64 epoch,
					   const struct nk_tuple *to, __u32 uplink)
{
	struct bpf_fib_lookup route = { .family = NK_AF_INET6 };

	__builtin_memcpy(route.ipv6_src, to->source, sizeof(struct nk_pair6));
	nk_after_epoch(&flow->epoch);
	nk_find_express(ctx, &flow->way, &route, uplink);
	nk_flow6_set(flow, epoch, ctx->ingress_ifindex | NK_FLOW_EXPRESS, (const void *)to->source);
}

/* Towards the client: the uplink that it has come by, as in tcx. */
static __always_inline __u32 nk_express_uplink(const struct nk_connection *connection)
{
	return connection->reply ? connection->ifindex : 0;
}

/* NULL: there is none. */
static __always_inline const struct nk_way *nk_express_way4(struct xdp_md *ctx, const struct nk_connection *connection)
{
	const __u32 ends[2] = { connection->to.source[3], connection->to.destination[3] };
	struct nk_pair4 pair;
	struct nk_flow4 *flow;
	__u32 uplink = nk_express_uplink(connection);
	__u64 epoch = nk_epoch();

	__builtin_memcpy(&pair, ends, sizeof(pair));
	flow = nk_flow4(&pair);
	if (unlikely(!flow))
		return NULL;
	if (unlikely(!nk_flow4_is(flow, epoch, ctx->ingress_ifindex | NK_FLOW_EXPRESS, &pair) ||
		     flow->way.tick != nk_tick() || (uplink && flow->way.ifindex != uplink)))
		nk_resolve_express4(ctx, flow, epoch, &connection->to, uplink);
	return &flow->way;
}

static __always_inline const struct nk_way *nk_express_way6(struct xdp_md *ctx, const struct nk_connection *connection)
{
	const struct nk_pair6 *pair = (const void *)connection->to.source;
	struct nk_flow6 *flow = nk_flow6(pair);
	__u32 uplink = nk_express_uplink(connection);
	__u64 epoch = nk_epoch();

	if (unlikely(!flow))
		return NULL;
	if (unlikely(!nk_flow6_is(flow, epoch, ctx->ingress_ifindex | NK_FLOW_EXPRESS, pair) ||
		     flow->way.tick != nk_tick() || (uplink && flow->way.ifindex != uplink)))
		nk_resolve_express6(ctx, flow, epoch, &connection->to, uplink);
	return &flow->way;
}

/* What is behind the IP packet counts, too: it would leave with it. */
static __always_inline bool nk_goes_express(const struct nk_way *way, const struct ethhdr *eth, const void *end)
{
	const __u16 *mac = (const void *)eth;

	return way && end - (const void *)(eth + 1) <= (long)way->mtu && mac[0] == way->express.own[0] &&
	       mac[1] == way->express.own[1] && mac[2] == way->express.own[2];
}

static __always_inline __u16 nk_fold16(__u64 sum)
{
	__u32 folded = nk_fold(sum);

	folded = (folded & 0xffff) + (folded >> 16);
	return (folded & 0xffff) + (folded >> 16);
}

/*
 * A veth hands over packets whose checksum no device has completed yet: the field holds the sum of the pseudo header.
 * Nothing here could tell who gets the frame that it has to be completed, so such a packet is tcx's. Of the others one
 * in 65,536 looks the same. `addresses`: their sum.
 */
static __always_inline bool nk_is_complete(const struct nk_express *frame, __u16 check, __u64 addresses, __u32 header)
{
	return nk_fold16(addresses + bpf_htons(frame->bytes - header) + bpf_htons(frame->tuple.protocol)) != check;
}

static __always_inline void nk_express_ports(const struct nk_express *frame, __u16 *transport,
					     const struct nk_tuple *to, __u32 addresses)
{
	__u16 *check = (void *)transport + frame->check;
	bool tcp = frame->tuple.protocol == IPPROTO_TCP;

	/* A UDP checksum of 0 is none: it stays so, and none becomes it. */
	if (tcp || *check) {
		__u16 mended = nk_mended(*check, nk_fold((__u64)addresses + nk_difference_of_ports(&frame->tuple, to)));

		*check = tcp || mended ? mended : 0xffff;
	}
	transport[0] = to->source_port;
	transport[1] = to->destination_port;
}

/* Not by XDP_TX, even where it came from: a veth's other end would be told only if it had a program. */
static __always_inline int nk_express_leave(struct ethhdr *eth, const struct nk_way *way)
{
	__u32 *macs = (void *)eth;

	macs[0] = way->express.macs[0];
	macs[1] = way->express.macs[1];
	macs[2] = way->express.macs[2];
	bpf_redirect(way->ifindex, 0);
	return XDP_REDIRECT;
}

static __always_inline int nk_express4(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	const struct nk_connection *connection;
	struct nk_express frame;
	const struct nk_way *way;
	__u32 difference;
	__u16 *transport;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	frame.bytes = bpf_ntohs(ip->tot_len);
	if (nk_first_byte(ip) != NK_IPV4_PLAIN || ip->frag_off & bpf_htons(0x3fff) || ip->ttl <= 1)
		return XDP_PASS;
	if ((void *)ip + frame.bytes > end)
		return XDP_PASS;
	nk_map4(frame.tuple.source, ip->saddr);
	nk_map4(frame.tuple.destination, ip->daddr);
	frame.tuple.protocol = ip->protocol;
	frame.tuple.pad[0] = frame.tuple.pad[1] = frame.tuple.pad[2] = 0;
	transport = nk_express_transport(&frame, ip + 1, end);
	if (!transport)
		return XDP_PASS;
	connection = nk_express_connection(&frame);
	if (!connection)
		return XDP_PASS;
	way = nk_express_way4(ctx, connection);
	if (!nk_goes_express(way, eth, end) || !nk_is_complete(&frame, *(__u16 *)((void *)transport + frame.check),
							       (__u64)ip->saddr + ip->daddr, sizeof(*ip)))
		return XDP_PASS;
	difference = nk_difference4(&frame.tuple, &connection->to);
	nk_express_ports(&frame, transport, &connection->to, difference);
	ip->saddr = connection->to.source[3];
	ip->daddr = connection->to.destination[3];
	ip->check = nk_mended(ip->check, difference);
	nk_hop4(ip);
	return nk_express_leave(eth, way);
}

static __always_inline int nk_express6(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct ipv6hdr *ip = (void *)(eth + 1);
	const struct nk_connection *connection;
	struct nk_express frame;
	const struct nk_way *way;
	__u64 addresses = 0;
	__u16 *transport;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	frame.bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (nk_first_byte(ip) >> 4 != 6 || ip->hop_limit <= 1 || (void *)ip + frame.bytes > end)
		return XDP_PASS;
	nk_copy_address(frame.tuple.source, &ip->saddr);
	nk_copy_address(frame.tuple.destination, &ip->daddr);
	/* As in tcx, those stand for IPv4 and are on no wire. */
	if (unlikely(nk_is_mapped(frame.tuple.source) || nk_is_mapped(frame.tuple.destination)))
		return XDP_PASS;
	frame.tuple.protocol = ip->nexthdr;
	frame.tuple.pad[0] = frame.tuple.pad[1] = frame.tuple.pad[2] = 0;
	transport = nk_express_transport(&frame, ip + 1, end);
	if (!transport)
		return XDP_PASS;
	connection = nk_express_connection(&frame);
	if (!connection)
		return XDP_PASS;
	way = nk_express_way6(ctx, connection);
	for (int i = 0; i < 4; i++)
		addresses += (__u64)frame.tuple.source[i] + frame.tuple.destination[i];
	if (!nk_goes_express(way, eth, end) ||
	    !nk_is_complete(&frame, *(__u16 *)((void *)transport + frame.check), addresses, sizeof(*ip)))
		return XDP_PASS;
	nk_express_ports(&frame, transport, &connection->to, nk_difference6(&frame.tuple, &connection->to));
	__builtin_memcpy(&ip->saddr, connection->to.source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, connection->to.destination, sizeof(ip->daddr));
	ip->hop_limit--;
	return nk_express_leave(eth, way);
}
