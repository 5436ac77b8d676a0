/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the BPF programs and the agent agree on: map keys and values, drop reasons, events.
 * Addresses and MACs are in network byte order, everything else in host order; padding is explicit and zero.
 * A change to a struct bumps the version in the names of the maps that hold it (docs/map-abi.md).
 */
#pragma once

#include <linux/types.h>

#ifdef __cplusplus
#define NK_SIZE_IS(type, bytes) static_assert(sizeof(struct type) == (bytes), #type)
#else
#define NK_SIZE_IS(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
#endif

/* Why a packet was refused. Numbers are ABI: append only. */
enum nk_drop_reason {
	NK_DROP_UNSPEC = 0,
	NK_DROP_MALFORMED = 1,		  /* truncated or inconsistent headers */
	NK_DROP_UNSUPPORTED_L3 = 2,	  /* neither IPv4 nor IPv6 (ARP included: pods have permanent neighbours) */
	NK_DROP_UNKNOWN_DEVICE = 3,	  /* the device has no endpoint (yet): fail closed */
	NK_DROP_SPOOFED_SOURCE = 4,	  /* a pod's packet whose source address is not the pod's */
	NK_DROP_LOOPBACK = 5,		  /* 127.0.0.0/8 or ::1 off loopback */
	NK_DROP_ROUTER_ADVERTISEMENT = 6, /* a pod may not advertise itself as a router */
	NK_DROP_REDIRECT = 7,		  /* an ICMP or ICMPv6 redirect from a pod */
	NK_DROP_NO_IPV4 = 8,		  /* IPv4 from a pod that has no IPv4 address */
	NK_DROP_NO_IPV6 = 9,		  /* IPv6 from a pod that has no IPv6 address */
	NK_DROP_UPLINK_SPOOF = 10,	  /* a packet from the uplink that claims a local pod's source address */
	NK_DROP_DENIED_PREFIX = 11,	  /* the XDP deny-list */
	NK_DROP_SOURCE_ROUTE = 12,	  /* IPv4 source-route option or IPv6 routing header type 0 from a pod */
	NK_DROP_NOT_FOR_POD = 13,	  /* a packet on a pod's device, or for the overlay, that is for nobody there */
	NK_DROP_UNSPECIFIED_SOURCE = 14,  /* 0.0.0.0 or :: as a pod's source */
	NK_DROP_OVERLAY_SPOOF = 15,	  /* from the overlay, and its source is not of the node that sent it */
	NK_DROP_OVERLAY_FOREIGN = 16,	  /* from the overlay, and of another network or for nobody here */
	NK_DROP_NO_BACKEND = 17,	  /* a service that nobody serves */
	NK_DROP_SOURCE_RANGE = 18,	  /* a client outside of a service's loadBalancerSourceRanges */
	NK_DROP_CONNECTIONS_FULL = 19,	  /* the connection table is full */
	NK_DROP_PORTS_EXHAUSTED = 20,	  /* no port is left to translate a connection with */
	NK_DROP_NO_CONNECTION = 21,	  /* in the middle of a connection that is not known */
	NK_DROP_UNREACHABLE_BACKEND = 22, /* a service's backend that no way leads to */
	NK_DROP_HOP_LIMIT = 23,		  /* the last hop of what is translated */
	NK_DROP_TOO_BIG = 24,		  /* larger than the way to a service's backend takes */
	NK_DROP_BANDWIDTH = 25,		  /* more than the pod may send: too much of it waits already */
	NK_DROP_REASON_COUNT = 26,
};

/* Where a packet was seen. ABI: append only. */
enum nk_hook {
	NK_HOOK_FROM_POD = 0,
	NK_HOOK_TO_POD = 1,
	NK_HOOK_FROM_NETDEV = 2,
	NK_HOOK_XDP = 3,
	NK_HOOK_FROM_OVERLAY = 4,
	NK_HOOK_TO_OVERLAY = 5,
	NK_HOOK_TO_NETDEV = 6,
};

/* nk_endpoint.flags */
#define NK_EP_L2   (1U << 0) /* the device wants a destination MAC: veth and netkit in L2 mode */
#define NK_EP_IPV4 (1U << 1) /* in nk_device.flags: the pod has an IPv4 address */
#define NK_EP_IPV6 (1U << 2) /* in nk_device.flags: the pod has an IPv6 address */
/* All of the pod's packets take the node's stack: somebody rewrites or queues them there. */
#define NK_EP_STACK (1U << 3)
/* Programs behind ours see what the pod sends: none of it is handed over by from_pod, and all of it takes the stack. */
#define NK_EP_HOOKED (1U << 5)
/*
 * In nk_device.flags: the pod may be entered past the programs on its device. Both of its links are there, nobody
 * else's program wants to see what comes, no queue limits it, and nk_guard takes this flag away before a link goes.
 */
#define NK_EP_DIRECT (1U << 4)

/* nk_ep4_v1, nk_ep6_v1: a local pod's address. The two MACs lie as in an Ethernet header: one copy writes both. */
struct nk_endpoint {
	__u32 ifindex;	   /* the host end: the only device that may send from this address */
	__u32 flags;	   /* NK_EP_L2 | NK_EP_STACK | NK_EP_HOOKED */
	__u8 pod_mac[6];   /* L2 only, else zero */
	__u8 host_mac[6];  /* L2 only, else zero */
	__u32 endpoint_id; /* the agent's number for the pod, in events */
};
NK_SIZE_IS(nk_endpoint, 24);

/* nk_dev_v1, keyed by the host end's ifindex: what the slow path has to know. */
struct nk_device {
	__u32 flags; /* NK_EP_IPV4 | NK_EP_IPV6 | NK_EP_DIRECT */
	__u32 endpoint_id;
};
NK_SIZE_IS(nk_device, 8);

struct nk_addr6 {
	__u8 bytes[16];
};
NK_SIZE_IS(nk_addr6, 16);

/* LPM keys */
struct nk_prefix4 {
	__u32 length; /* bits */
	__u32 address;
};
NK_SIZE_IS(nk_prefix4, 8);

struct nk_prefix6 {
	__u32 length; /* bits */
	struct nk_addr6 address;
};
NK_SIZE_IS(nk_prefix6, 20);

/*
 * nk_remote4_v1, nk_remote6_v1: another node's pods, or the node itself, and the way there. From nexthop_family on it
 * is the kernel's struct bpf_redir_neigh. A prefix here never contains an address of a local pod.
 */
struct nk_remote {
	__u32 ifindex;		 /* uplink */
	__u32 mtu;		 /* bytes of IP packet; larger ones go to the stack, which answers */
	__u32 nexthop_family;	 /* AF_INET or AF_INET6 */
	struct nk_addr6 nexthop; /* IPv4: the first 4 bytes */
};
NK_SIZE_IS(nk_remote, 28);

/*
 * nk_tunnel4_v2, nk_tunnel6_v2: the same for nodes that are reached by the overlay. A prefix is in the one map or in
 * the other, but for nodes' own addresses, which may be in both: the native way comes first.
 */
#define NK_TUNNEL_NODE (1U << 0) /* the prefix is the node's own address, from which it talks on the uplink as well */
struct nk_tunnel {
	struct nk_remote way;  /* to the node itself; its mtu is what a packet inside may have */
	__u32 device;	       /* the overlay's */
	__u32 family;	       /* of the two addresses: AF_INET or AF_INET6 */
	struct nk_addr6 node;  /* IPv4: the first 4 bytes */
	struct nk_addr6 local; /* this node, as the other one knows it */
	__u32 flags;	       /* NK_TUNNEL_* */
};
NK_SIZE_IS(nk_tunnel, 72);

/* nk_deny4_v1, nk_deny6_v1: value of the XDP deny-list. */
struct nk_deny {
	__u64 packets; /* denied by this prefix */
	__u64 bytes;
};
NK_SIZE_IS(nk_deny, 16);

/*
 * nk_uplink_v1, keyed by ifindex: the uplinks that XDP takes packets of translated connections from. What is not for
 * `mac` is somebody else's.
 */
#define NK_UPLINK_SENDS (1U << 0) /* the driver takes what XDP redirects to it */
struct nk_uplink {
	__u8 mac[6];
	__u16 flags; /* NK_UPLINK_* */
};
NK_SIZE_IS(nk_uplink, 8);

/*
 * nk_pace_v1, keyed by the host end's ifindex: how fast the pod may send away from the node. Times of CLOCK_MONOTONIC.
 */
struct nk_pace {
	__u64 bytes_per_s; /* on the wire, never 0 */
	__u64 burst_ns;	   /* idle time that may be made up for */
	__u64 horizon_ns;  /* what would have to wait longer is dropped */
	__u64 next_ns;	   /* when the next packet may depart; written by programs */
};
NK_SIZE_IS(nk_pace, 32);

/* nk_drops_v1: per-CPU array indexed by reason. */
struct nk_counter {
	__u64 packets;
	__u64 bytes;
};
NK_SIZE_IS(nk_counter, 16);

/* nk_control_v1: one entry, written by the agent while programs run. */
struct nk_control {
	__u32 monitor; /* non-zero: somebody reads nk_events_v1 */
	__u32 pad;
};
NK_SIZE_IS(nk_control, 8);

/*
 * nk_epoch_v1: one __u64. Programs remember decisions, per CPU, as long as it stays the same (bpf/lib/flow.h). Before
 * every change of nk_ep*, nk_remote*, nk_tunnel* or of a program, the agent writes 0: nothing is remembered. After it,
 * a number that was never there before: the nanoseconds since boot.
 */

/*
 * nk_guard_v1, keyed by the number of a link: the host end's ifindex of the pod that it belongs to, or 0 for a link of
 * nk_guard itself.
 */

/* nk_events_v1: ring buffer of refusals, filled only while control.monitor is set. */
struct nk_event {
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u32 reason;		/* enum nk_drop_reason */
	__u32 hook;		/* enum nk_hook */
	__u32 ifindex;		/* device the program ran for, host side */
	__u32 endpoint_id;	/* 0: none known */
	__u32 length;		/* bytes on the wire */
	__u16 protocol;		/* EtherType, host order */
	__u8 l4_protocol;	/* IPPROTO_*, 0 when unknown */
	__u8 family;		/* AF_INET, AF_INET6 or 0 */
	struct nk_addr6 source; /* IPv4: the first 4 bytes */
	struct nk_addr6 destination;
	__u16 source_port; /* host order, 0 when there is none */
	__u16 destination_port;
	__u32 pad;
};
NK_SIZE_IS(nk_event, 72);

/*
 * The constants of a loaded program (.rodata, `volatile const struct nk_config nk_config`): set before load, so that
 * the verifier removes the branches that a node does not use. A change means loading anew and replacing in place.
 */
struct nk_config {
	__u8 netkit;	  /* 1: the program runs on a netkit device (verdicts NETKIT_*), 0: on tcx */
	__u8 after_hooks; /* 1: other programs stand behind ours: accept with NEXT and leave forwarding to the stack */
	__u8 fast_path;	  /* 1: redirect between devices; 0: accept only (the stack forwards) */
	__u8 peer;	  /* 1: netkit programs may use bpf_redirect_peer, too */
	__u32 vni;	  /* of the overlay, 24 bits; 0: there is none */
	__u16 vxlan_port; /* UDP, network byte order */
	__u8 services;	  /* 1: connections are translated: nk_ct_v1, nk_entrance_v1 */
	__u8 masquerade;  /* 1: those of pods to the outside are: nk_ct_v1, nk_exit_v1, nk_unmasked_v1 */
	__u8 express;	  /* 1: and XDP serves those that it can: nk_uplink_v1 */
	__u8 bandwidth;	  /* 1: what pods send away is limited: nk_pace_v1 */
	__u8 pad[2];
};
NK_SIZE_IS(nk_config, 16);

/* The overlay device's MAC, the same on every node: see bpf/lib/encap.h. */
#define NK_OVERLAY_MAC { 0x02, 0x6e, 0x6b, 0x00, 0x00, 0x01 }

/* What a program leaves in skb->tc_index, mixed with the device, for the veth backstop: see bpf/lib/verdict.h. */
#define NK_ACCEPTED_COOKIE 0x6e6bU
