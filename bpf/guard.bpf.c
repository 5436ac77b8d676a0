// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the uplink hands over goes past the program on the pod's device, so a device without its programs would not stop
 * it. This program sees every link go, whoever closes it and while the agent is away, and takes the pod's leave to be
 * entered like that first. When the guard itself goes, all pods lose it. They stay reachable, through their devices.
 *
 * At the entry of the kernel's functions that take a program off its hook: tcx_link_release, netkit_link_release, and
 * bpf_tracing_link_release for the guard's own links. All have the link as their first parameter.
 */
#include "lib/endpoints.h"
#include "lib/epoch.h"

/* What we read of the kernel's struct, wherever it lies there. */
struct bpf_link {
	__u32 id;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} nk_guard_v1 SEC(".maps");

static __always_inline void unguard(struct nk_device *device)
{
	__sync_fetch_and_and(&device->flags, ~NK_EP_DIRECT);
}

static long unguard_each(void *map, const __u32 *ifindex, struct nk_device *device, void *context)
{
	(void)map, (void)ifindex, (void)context;
	unguard(device);
	return 0;
}

SEC("fentry")
int nk_guard(__u64 *arguments)
{
	struct bpf_link *link = (void *)arguments[0];
	__u32 id = link->id, *ifindex = bpf_map_lookup_elem(&nk_guard_v1, &id);
	struct nk_device *device;

	if (!ifindex)
		return 0;
	if (*ifindex) {
		device = nk_device(*ifindex);
		if (device)
			unguard(device);
	} else {
		bpf_for_each_map_elem(&nk_dev_v1, unguard_each, NULL, 0);
	}
	nk_forget();
	bpf_map_delete_elem(&nk_guard_v1, &id);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
