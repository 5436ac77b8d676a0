/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Decisions that this CPU has made lately, by device, source and destination: three lookups in hashes and tries become
 * one in an array. An entry holds as long as the epoch, a number that the agent changes after every change of what
 * decisions are made from (nk_ep*, nk_remote*, nk_tunnel*, the programs). Epoch 0: nothing is
 * remembered. A program reads the epoch before the maps, so what it remembers is never newer than the epoch says.
 *
 * Refused packets leave no entry. A slot is written by the CPU that reads it, with bottom halves off: nobody sees
 * half an entry.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include "lib/epoch.h"

#define NK_FLOW_BITS	8
#define NK_FLOW_SLOTS	(1U << NK_FLOW_BITS)
#define NK_EPOCH_NEVER	(~0ULL)
#define NK_GOLDEN_RATIO 0x9e3779b97f4a7c15ULL

/* Beside a device's number, which is a positive int: at XDP. */
#define NK_FLOW_EXPRESS (1U << 31)
/* In place of it: out of a tunnel. */
#define NK_FLOW_TUNNEL (~0U)

#define NK_WAY_DEVICE 0 /* to a pod of this node, through its device and the program there */
#define NK_WAY_REMOTE 1 /* to another node by `nexthop` */
#define NK_WAY_PEER   2 /* to a pod of this node, past its device */
#define NK_WAY_TUNNEL 3 /* to another node by the overlay, whose device wraps */
#define NK_WAY_WRAP   4 /* the same over IPv4 between `ends`, wrapped here */
/*
 * The stack's way all the same (mtu 0). Of a translated packet, `nexthop` is known for this tick; family 0: the kernel
 * has to search.
 */
#define NK_WAY_OUTSIDE 5
/* At XDP, for this tick; mtu 0: there is none. */
#define NK_WAY_EXPRESS 6

/* With an mtu of 0, in from_pod: to the outside under this node's address, if the packet is of such a connection. */
#define NK_WAY_MASKED 7
/* With an mtu of 0, of a translated packet: up this node's stack. Known for this tick. */
#define NK_WAY_NODE 8

struct nk_way {
	__u32 mtu; /* bytes of IP packet; nothing fits into 0: that way is the stack's */
	__u32 ifindex;
	__u32 kind; /* NK_WAY_* */
	union {
		struct bpf_redir_neigh nexthop;
		struct {
			__u32 macs[3]; /* as in an Ethernet header; zero for L3 devices */
			/* From the overlay: the IPv4 address of the node that owns the source, and ours that it sends
			 * to. */
			__u32 sender, receiver;
		};
		/* From one uplink to another at XDP: the frame's MACs, and the one that it comes for. */
		struct {
			__u32 macs[3];
			__u16 own[3];
		} express;
		struct {
			__u32 nexthop4[2]; /* the part of `nexthop` that IPv4 uses */
			__u32 node, local;
		} ends;
	};
	__u32 tick; /* NK_WAY_OUTSIDE, NK_WAY_EXPRESS, NK_WAY_NODE: when it was found, as nk_tick() has it */
};

/* Source and destination, as they lie side by side in a header. */
struct nk_pair4 {
	__u64 word;
};

struct nk_pair6 {
	__u64 word[4];
};

struct nk_flow4 {
	__u64 epoch;
	struct nk_pair4 pair;
	__u32 device;
	struct nk_way way;
};

struct nk_flow6 {
	__u64 epoch;
	struct nk_pair6 pair;
	__u32 device;
	struct nk_way way;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct nk_flow4);
	__uint(max_entries, NK_FLOW_SLOTS);
} nk_flow4_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct nk_flow6);
	__uint(max_entries, NK_FLOW_SLOTS);
} nk_flow6_v1 SEC(".maps");

/* About a second: 0.5 s of a kernel with 250 Hz, 0.13 s with 1000, 1.28 s with 100. No clock is read for it. */
static __always_inline __u32 nk_tick(void)
{
	return bpf_jiffies64() >> 7;
}

/* Reads of maps from here on come after the read of the epoch, on every processor. `word`: any of this CPU. */
static __always_inline void nk_after_epoch(__u64 *word)
{
	asm volatile("" : : "r"(__sync_fetch_and_add(word, 0)));
}

static __always_inline const struct nk_pair4 *nk_pair4(const struct iphdr *ip)
{
	return (const void *)ip + offsetof(struct iphdr, saddr);
}

static __always_inline const struct nk_pair6 *nk_pair6(const struct ipv6hdr *ip)
{
	return (const void *)ip + offsetof(struct ipv6hdr, saddr);
}

/* Not symmetric: the two directions of a connection must not take turns in one slot. */
static __always_inline struct nk_flow4 *nk_flow4(const struct nk_pair4 *pair)
{
	__u32 slot = pair->word * NK_GOLDEN_RATIO >> (64 - NK_FLOW_BITS);

	return bpf_map_lookup_elem(&nk_flow4_v1, &slot);
}

static __always_inline struct nk_flow6 *nk_flow6(const struct nk_pair6 *pair)
{
	__u64 source = pair->word[0] ^ pair->word[1], destination = pair->word[2] ^ pair->word[3];
	__u32 slot = (source * 31 + destination) * NK_GOLDEN_RATIO >> (64 - NK_FLOW_BITS);

	return bpf_map_lookup_elem(&nk_flow6_v1, &slot);
}

/* An empty slot is nobody's: no device has number 0. */
static __always_inline bool nk_flow4_is(const struct nk_flow4 *flow, __u64 epoch, __u32 device,
					const struct nk_pair4 *pair)
{
	return flow->pair.word == pair->word && flow->device == device && flow->epoch == epoch;
}

static __always_inline bool nk_flow6_is(const struct nk_flow6 *flow, __u64 epoch, __u32 device,
					const struct nk_pair6 *pair)
{
	return flow->pair.word[3] == pair->word[3] && flow->pair.word[1] == pair->word[1] &&
	       flow->pair.word[2] == pair->word[2] && flow->pair.word[0] == pair->word[0] && flow->device == device &&
	       flow->epoch == epoch;
}

/* Once flow->way is there. */
static __always_inline void nk_flow4_set(struct nk_flow4 *flow, __u64 epoch, __u32 device, const struct nk_pair4 *pair)
{
	flow->pair = *pair;
	flow->device = device;
	flow->epoch = epoch ? epoch : NK_EPOCH_NEVER;
}

static __always_inline void nk_flow6_set(struct nk_flow6 *flow, __u64 epoch, __u32 device, const struct nk_pair6 *pair)
{
	flow->pair = *pair;
	flow->device = device;
	flow->epoch = epoch ? epoch : NK_EPOCH_NEVER;
}
