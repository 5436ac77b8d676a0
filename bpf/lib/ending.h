/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* When a connection is over, and how its entries go. */
#pragma once

#include "lib/connection.h"

/* A client's FIN or RST alone may be anybody's. */
static __always_inline bool nk_is_over(const struct nk_connection *connection, const struct nk_connection *reply)
{
	return !reply || reply->seen & NK_CT_RST || connection->seen & reply->seen & NK_CT_FIN;
}

/* Both directions, by either. */
static __noinline void nk_take_out(const struct nk_tuple *tuple, const struct nk_connection *connection)
{
	struct nk_tuple back;
	bool direct = nk_is_direct(connection);

	nk_reverse(&back, &connection->to);
	bpf_map_delete_elem(&nk_ct_v1, tuple);
	if (!direct)
		bpf_map_delete_elem(&nk_ct_v1, &back);
}
