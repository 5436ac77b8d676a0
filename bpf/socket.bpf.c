// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Services at the socket: whoever on this node asks for a service, pod or not, is connected with one of its backends,
 * and no packet needs a translation. Programs of a control group, one for each question that a socket asks: connect,
 * sendmsg (a datagram to somebody), recvmsg (from whom?), getpeername.
 *
 * Verdicts: 1, go on; 0, refuse, with the error that a host without that service would give.
 */
#include <linux/errno.h>
#include <linux/in.h>

#include "lib/service.h"

#define NK_GO_ON  1
#define NK_REFUSE 0

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct nk_socket);
} nk_socket_v1 SEC(".maps");

static __always_inline bool same_address(const struct nk_service_address *a, const struct nk_service_address *b)
{
	return a->address[0] == b->address[0] && a->address[1] == b->address[1] && a->address[2] == b->address[2] &&
	       a->address[3] == b->address[3] && a->port == b->port && a->protocol == b->protocol;
}

static __always_inline void set_peer(struct nk_service_address *address, const struct nk_backend *backend)
{
	address->address[0] = backend->address[0];
	address->address[1] = backend->address[1];
	address->address[2] = backend->address[2];
	address->address[3] = backend->address[3];
	address->port = backend->port;
}

static __always_inline bool by_datagrams(const struct bpf_sock_addr *ctx)
{
	return ctx->protocol == IPPROTO_UDP;
}

/* Whom the socket had for this service before: a flow of datagrams stays with its backend while that is there. */
static __always_inline __u32 remembered(struct bpf_sock_addr *ctx, const struct nk_service_address *service, __u32 set)
{
	struct nk_socket *known = bpf_sk_storage_get(&nk_socket_v1, ctx->sk, NULL, 0);
	int i;

	if (!known)
		return 0;
	for (i = 0; i < NK_TRANSLATIONS; i++) {
		__u32 id = known->translations[i].backend;

		if (id && same_address(&known->translations[i].service, service))
			return nk_backend(id, set) ? id : 0;
	}
	return 0;
}

/* In the place of what was known of the same service, else of the oldest. False: there is no memory for it. */
static __always_inline bool remember(struct bpf_sock_addr *ctx, const struct nk_service_address *service, __u32 id,
				     const struct nk_backend *backend)
{
	struct nk_socket *known = bpf_sk_storage_get(&nk_socket_v1, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	struct nk_translation *place;
	__u32 i, at;

	if (!known)
		return false;
	at = known->next;
	for (i = 0; i < NK_TRANSLATIONS; i++) {
		if (known->translations[i].backend && same_address(&known->translations[i].service, service))
			at = i;
	}
	if (at == known->next)
		known->next = (at + 1) % NK_TRANSLATIONS;
	place = &known->translations[at % NK_TRANSLATIONS];
	place->service = *service;
	set_peer(&place->peer, backend);
	place->peer.protocol = service->protocol;
	place->backend = id;
	return true;
}

enum answer {
	NK_NO_SERVICE, /* not our business */
	NK_STEERED,    /* the address is now that of a backend */
	NK_NOBODY,     /* nobody serves */
};

static __always_inline enum answer steer(struct bpf_sock_addr *ctx, struct nk_service_address *address)
{
	struct nk_frontend frontend;
	struct nk_backend *backend;
	__u32 id = 0;

	if (likely(!nk_frontend(address, &frontend)))
		return NK_NO_SERVICE;
	if (!frontend.count)
		return NK_NOBODY;
	if (by_datagrams(ctx))
		id = remembered(ctx, address, frontend.set);
	if (!id && frontend.affinity_s)
		id = nk_affine_backend(&frontend, bpf_get_netns_cookie(ctx));
	else if (!id)
		id = nk_any_backend(frontend.set, frontend.count);
	backend = nk_backend(id, frontend.set);
	/* Without memory a datagram's answer would come from a stranger. Of a stream only getpeername would differ. */
	if (!backend || (!remember(ctx, address, id, backend) && by_datagrams(ctx)))
		return NK_NOBODY;
	set_peer(address, backend);
	/* Else its memory may have been another's by then: see nk_frontend(). */
	return nk_backend(id, frontend.set) == backend ? NK_STEERED : NK_NOBODY;
}

/* Changes the address of a backend into that of the service that the socket had asked for. False: it is none. */
static __always_inline bool unmask(struct bpf_sock_addr *ctx, struct nk_service_address *address)
{
	struct nk_socket *known = bpf_sk_storage_get(&nk_socket_v1, ctx->sk, NULL, 0);
	int i;

	if (likely(!known))
		return false;
	for (i = 0; i < NK_TRANSLATIONS; i++) {
		const struct nk_translation *each = &known->translations[i];

		if (each->backend && same_address(&each->peer, address)) {
			*address = each->service;
			return true;
		}
	}
	return false;
}

static __always_inline struct nk_service_address read4(const struct bpf_sock_addr *ctx)
{
	return (struct nk_service_address){
		.address = { 0, 0, bpf_htonl(0xffff), ctx->user_ip4 },
		.port = (__u16)ctx->user_port,
		.protocol = (__u8)ctx->protocol,
	};
}

static __always_inline void write4(struct bpf_sock_addr *ctx, const struct nk_service_address *address)
{
	ctx->user_ip4 = address->address[3];
	ctx->user_port = address->port;
}

static __always_inline struct nk_service_address read6(const struct bpf_sock_addr *ctx)
{
	return (struct nk_service_address){
		.address = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] },
		.port = (__u16)ctx->user_port,
		.protocol = (__u8)ctx->protocol,
	};
}

static __always_inline void write6(struct bpf_sock_addr *ctx, const struct nk_service_address *address)
{
	ctx->user_ip6[0] = address->address[0];
	ctx->user_ip6[1] = address->address[1];
	ctx->user_ip6[2] = address->address[2];
	ctx->user_ip6[3] = address->address[3];
	ctx->user_port = address->port;
}

static __always_inline int refuse(void)
{
	bpf_set_retval(-ECONNREFUSED);
	return NK_REFUSE;
}

static __always_inline int ask4(struct bpf_sock_addr *ctx)
{
	struct nk_service_address address = read4(ctx);

	switch (steer(ctx, &address)) {
	case NK_NOBODY:
		return refuse();
	case NK_STEERED:
		write4(ctx, &address);
		break;
	case NK_NO_SERVICE:
		break;
	}
	return NK_GO_ON;
}

static __always_inline int ask6(struct bpf_sock_addr *ctx)
{
	struct nk_service_address address = read6(ctx);

	switch (steer(ctx, &address)) {
	case NK_NOBODY:
		return refuse();
	case NK_STEERED:
		write6(ctx, &address);
		break;
	case NK_NO_SERVICE:
		break;
	}
	return NK_GO_ON;
}

static __always_inline int tell4(struct bpf_sock_addr *ctx)
{
	struct nk_service_address address = read4(ctx);

	if (unmask(ctx, &address))
		write4(ctx, &address);
	return NK_GO_ON;
}

static __always_inline int tell6(struct bpf_sock_addr *ctx)
{
	struct nk_service_address address = read6(ctx);

	if (unmask(ctx, &address))
		write6(ctx, &address);
	return NK_GO_ON;
}

SEC("cgroup/connect4")
int nk_connect4(struct bpf_sock_addr *ctx)
{
	return ask4(ctx);
}

SEC("cgroup/connect6")
int nk_connect6(struct bpf_sock_addr *ctx)
{
	return ask6(ctx);
}

SEC("cgroup/sendmsg4")
int nk_sendmsg4(struct bpf_sock_addr *ctx)
{
	return ask4(ctx);
}

SEC("cgroup/sendmsg6")
int nk_sendmsg6(struct bpf_sock_addr *ctx)
{
	return ask6(ctx);
}

SEC("cgroup/recvmsg4")
int nk_recvmsg4(struct bpf_sock_addr *ctx)
{
	return tell4(ctx);
}

SEC("cgroup/recvmsg6")
int nk_recvmsg6(struct bpf_sock_addr *ctx)
{
	return tell6(ctx);
}

SEC("cgroup/getpeername4")
int nk_peername4(struct bpf_sock_addr *ctx)
{
	return tell4(ctx);
}

SEC("cgroup/getpeername6")
int nk_peername6(struct bpf_sock_addr *ctx)
{
	return tell6(ctx);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
