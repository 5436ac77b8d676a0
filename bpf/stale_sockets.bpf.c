// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Connected sockets of datagrams whose backend has gone. They would send to nobody, or to whoever gets its address
 * next: between connect and close no program is asked. The agent reads a struct nk_stale_socket of each.
 *
 * An iterator (BPF_TRACE_ITER) over all sockets that have asked for a service, in whatever network namespace.
 */
#include <linux/in.h>

#include "lib/backends.h"
#include "lib/mapped.h"

#define NK_CONNECTED 1 /* TCP_ESTABLISHED of net/tcp_states.h, which datagrams' sockets use as well */

/* What we read of the kernel's structs, wherever it lies there. */
struct ns_common {
	unsigned int inum;
} __attribute__((preserve_access_index));

struct net {
	struct ns_common ns;
} __attribute__((preserve_access_index));

typedef struct {
	struct net *net;
} __attribute__((preserve_access_index)) possible_net_t;

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
} __attribute__((preserve_access_index));

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	int skc_bound_dev_if;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
} __attribute__((preserve_access_index));

typedef struct {
	int owned;
} __attribute__((preserve_access_index)) socket_lock_t;

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	__u16 sk_protocol;
} __attribute__((preserve_access_index));

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

/* The iterator's arguments, as the kernel hands them over. */
struct nk_each_socket {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk; /* NULL after the last one */
	struct nk_socket *socket;
};

static __always_inline void read6(__u32 *to, const struct in6_addr *address)
{
	to[0] = address->in6_u.u6_addr32[0];
	to[1] = address->in6_u.u6_addr32[1];
	to[2] = address->in6_u.u6_addr32[2];
	to[3] = address->in6_u.u6_addr32[3];
}

static __always_inline bool is_to(const struct nk_service_address *peer, const struct nk_stale_socket *socket)
{
	return nk_same_address(peer->address, socket->remote) && peer->port == socket->remote_port;
}

/* By more than its number, which an agent that has lost its note of them may give once more. */
static __always_inline bool serves(__u32 id, const struct nk_service_address *peer)
{
	const struct nk_backend *backend = bpf_map_lookup_elem(&nk_backend_v1, &id);

	return backend && nk_same_address(backend->address, peer->address) && backend->port == peer->port;
}

SEC("iter/bpf_sk_storage_map")
int nk_stale_sockets(struct nk_each_socket *ctx)
{
	const struct nk_socket *known = ctx->socket;
	struct nk_stale_socket found = {};
	struct sock *sk = ctx->sk;
	int i;

	if (!sk || !known || sk->sk_protocol != IPPROTO_UDP || sk->__sk_common.skc_state != NK_CONNECTED)
		return 0;
	found.family = sk->__sk_common.skc_family;
	if (found.family == NK_AF_INET) {
		nk_map4(found.local, sk->__sk_common.skc_rcv_saddr);
		nk_map4(found.remote, sk->__sk_common.skc_daddr);
	} else {
		read6(found.local, &sk->__sk_common.skc_v6_rcv_saddr);
		read6(found.remote, &sk->__sk_common.skc_v6_daddr);
	}
	found.local_port = bpf_htons(sk->__sk_common.skc_num);
	found.remote_port = sk->__sk_common.skc_dport;
	for (i = 0; i < NK_TRANSLATIONS; i++) {
		const struct nk_translation *each = &known->translations[i];
		__u32 id = each->backend;

		if (!id || !is_to(&each->peer, &found))
			continue;
		/* Of another service, whose backend it still is. */
		if (serves(id, &each->peer))
			return 0;
		found.service = each->service;
	}
	if (!found.service.protocol)
		return 0;
	found.netns = sk->__sk_common.skc_net.net->ns.inum;
	found.ifindex = sk->__sk_common.skc_bound_dev_if;
	found.held = sk->sk_lock.owned;
	found.cookie = bpf_get_socket_cookie(sk);
	bpf_seq_write(ctx->meta->seq, &found, sizeof(found));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
