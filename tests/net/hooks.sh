#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The agent compiles the datapath and users' hooks with clang: hooks before and behind ours see packets, a source that
# does not compile is reported in clang's words, and what runs goes on.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
usual_lab

# hook NAME: counts in a map of its own name and lets the chain go on
hook() {
  cat > "$lab/$1.bpf.c" <<SOURCE
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} n_$1 SEC(".maps");
SEC("tc")
int $1(struct __sk_buff *ctx)
{
	__u32 key = 0;
	__u64 *n = bpf_map_lookup_elem(&n_$1, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
	return -1; /* next */
}
char _license[] SEC("license") = "GPL";
SOURCE
}
counted() { bpftool -j map dump name "n_$1" | jq '[.. | objects | select(has("value")) | .formatted.value // .value] | map(if type == "array" then 0 else . end) | max // 0'; }
hooks='[]'
for place in pod-egress pod-ingress uplink-ingress uplink-egress; do
  for order in before after; do
    # The kernel keeps 15 characters of a name.
    name=${place%%-*}_${place#*-} name=${name/egress/out}_${order:0:2} name=${name/ingress/in}
    hook "$name"
    hooks=$(jq -c --arg name "$name" --arg source "$lab/$name.bpf.c" --arg attach "$place" --arg order "$order" \
      '. + [{$name, $source, $attach, $order}]' <<< "$hooks")
  done
done

agent_again a ".datapath.compile = \"clang\" | .hooks = $hooks" TERM
origin=$(ctl a status | jq -r .program_origin)
contains "where the programs come from" clang "$origin"
for path in 'a1 a2' 'a1 b1' 'b1 a1' 'a1 a' 'a a1' 'a1 world'; do works ${path% *} ${path#* }; done
for name in $(jq -r '.[].name' <<< "$hooks"); do
  before=$(counted "$name")
  lab_in a1 ping -q -n -c 5 -i 0.05 -W 2 "$(lab_ip b1 4)" > /dev/null
  lab_in a1 ping -q -n -c 5 -i 0.05 -W 2 "$(lab_ip b1 6)" > /dev/null
  note "$name: $before -> $(counted "$name")"
  at_least "packets that the hook $name saw" 10 $(($(counted "$name") - before))
done
# What we refuse never reaches the hook behind us.
before=$(counted pod_out_af)
craft a1 udp 203.0.113.7 "$(lab_ip a2 4)" 30
eventually 2 '[ "$(drops a spoofed-source)" -ge 30 ]' || fail "spoofed packets are not dropped in front of a hook"
[ $(($(counted pod_out_af) - before)) -lt 30 ] || fail "the hook behind ours saw spoofed packets"

note "the cache: a second start compiles nothing"
files=$(find "$lab/a/cache" -type f -printf '%p %T@\n' | sort)
agent_again a ".datapath.compile = \"clang\" | .hooks = $hooks" KILL
equal "files of the cache" "$files" "$(find "$lab/a/cache" -type f -printf '%p %T@\n' | sort)"

note "a hook that does not compile"
sed -i 's/return -1;/return minus_one;/' "$lab/pod_out_be.bpf.c"
lab_agent_stop a KILL
status=0
lab_config a | jq ".device = \"$DEVICE\" | .datapath.cache_dir = \"$lab/a/cache\" | .datapath.source_dir = \"$root/bpf\" | .datapath.compile = \"clang\" | .hooks = $hooks" > "$lab/a/agent.json"
lab_in a timeout $((30 * slow)) netkite-agent --config "$lab/a/agent.json" > "$lab/refusal" 2>&1 || status=$?
[ "$status" != 0 ] && [ "$status" != 124 ] || fail "the agent runs with a broken hook (status $status): $(cat "$lab/refusal")"
contains "the refusal" minus_one "$(cat "$lab/refusal")"
contains "the refusal" pod_out_be "$(cat "$lab/refusal")"
for path in 'a1 a2' 'a1 b1' 'b1 a1'; do works ${path% *} ${path#* }; done
before=$(counted pod_out_af)
works a1 a2
[ "$(counted pod_out_af)" -gt "$before" ] || fail "the running hooks stopped"

note "no hooks any more: they leave, the datapath stays"
agent a
for path in 'a1 a2' 'a1 b1' 'b1 a1' 'a1 world'; do works ${path% *} ${path#* }; done
equal "programs of hooks left" 0 "$(ctl a status | jq '[.programs[] | select(.name | test("^(pod|uplink)_"))] | length')"
contains "where the programs come from" embedded "$(ctl a status | jq -r .program_origin)"

note "no clang, and it was asked for"
lab_agent_stop a TERM
jq '.hooks = [] | .datapath.compile = "clang"' "$lab/a/agent.json" > "$lab/a/no-clang.json"
rm -rf "$lab/a/cache"
mkdir "$lab/empty"
status=0
lab_in a env PATH="$lab/empty" "$(command -v timeout)" $((30 * slow)) "$(command -v netkite-agent)" --config "$lab/a/no-clang.json" > "$lab/refusal" 2>&1 || status=$?
[ "$status" != 0 ] && [ "$status" != 124 ] || fail "the agent runs without clang (status $status): $(cat "$lab/refusal")"
contains "the refusal" clang "$(cat "$lab/refusal")"
works a1 a2
