/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Refusals for `netkite monitor`: written only while somebody reads. Best effort: a full buffer loses events, never
 * packets.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include "lib/base.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct nk_control);
	__uint(max_entries, 1);
} nk_control_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} nk_events_v1 SEC(".maps");

/* What a program knows about a packet that it refuses. */
struct nk_refusal {
	__u32 reason;
	__u32 hook;
	__u32 ifindex;
	__u32 endpoint_id;
	__u32 length;
	__u32 l3_offset;
	__u16 protocol; /* EtherType, network order */
};

static __always_inline bool nk_monitored(void)
{
	__u32 zero = 0;
	struct nk_control *control = bpf_map_lookup_elem(&nk_control_v1, &zero);

	return control && control->monitor;
}

/* `xdp` is a constant at every call: the verifier sees only the helper that fits the program type. */
static __always_inline long nk_load(void *ctx, bool xdp, __u32 offset, void *to, __u32 length)
{
	return xdp ? bpf_xdp_load_bytes(ctx, offset, to, length) : bpf_skb_load_bytes(ctx, offset, to, length);
}

static __always_inline void nk_event_ports(void *ctx, bool xdp, struct nk_event *event, __u32 offset)
{
	__u16 ports[2];

	if (event->l4_protocol != IPPROTO_TCP && event->l4_protocol != IPPROTO_UDP &&
	    event->l4_protocol != IPPROTO_SCTP)
		return;
	if (nk_load(ctx, xdp, offset, ports, sizeof(ports)))
		return;
	event->source_port = bpf_ntohs(ports[0]);
	event->destination_port = bpf_ntohs(ports[1]);
}

static __always_inline void nk_event_ipv4(void *ctx, bool xdp, struct nk_event *event, __u32 offset)
{
	struct iphdr ip;

	if (nk_load(ctx, xdp, offset, &ip, sizeof(ip)))
		return;
	event->family = NK_AF_INET;
	event->l4_protocol = ip.protocol;
	__builtin_memcpy(event->source.bytes, &ip.saddr, sizeof(ip.saddr));
	__builtin_memcpy(event->destination.bytes, &ip.daddr, sizeof(ip.daddr));
	if (!(ip.frag_off & bpf_htons(0x1fff)))
		nk_event_ports(ctx, xdp, event, offset + ip.ihl * 4);
}

/* Straight into the event: programs that report from far down have little of the stack left. */
static __always_inline void nk_event_ipv6(void *ctx, bool xdp, struct nk_event *event, __u32 offset)
{
	if (nk_load(ctx, xdp, offset + offsetof(struct ipv6hdr, saddr), &event->source, 32) ||
	    nk_load(ctx, xdp, offset + offsetof(struct ipv6hdr, nexthdr), &event->l4_protocol, 1))
		return;
	event->family = NK_AF_INET6;
	nk_event_ports(ctx, xdp, event, offset + sizeof(struct ipv6hdr));
}

static __always_inline void nk_report(void *ctx, bool xdp, const struct nk_refusal *refusal)
{
	struct nk_event *event = bpf_ringbuf_reserve(&nk_events_v1, sizeof(*event), 0);

	if (!event)
		return;
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = bpf_ktime_get_ns();
	event->reason = refusal->reason;
	event->hook = refusal->hook;
	event->ifindex = refusal->ifindex;
	event->endpoint_id = refusal->endpoint_id;
	event->length = refusal->length;
	event->protocol = bpf_ntohs(refusal->protocol);
	if (refusal->protocol == bpf_htons(ETH_P_IP))
		nk_event_ipv4(ctx, xdp, event, refusal->l3_offset);
	else if (refusal->protocol == bpf_htons(ETH_P_IPV6))
		nk_event_ipv6(ctx, xdp, event, refusal->l3_offset);
	bpf_ringbuf_submit(event, 0);
}
