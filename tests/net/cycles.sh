#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A thousand times ADD and DEL, then many at once: nothing stays behind, neither in the kernel nor in the agent.
# devices: netkit netkit-l2 veth
. "$(dirname "$0")/../lib.sh"
usual_lab
cycles=$(scaled 1000)
burst=$(scaled 100)

bench() { lab_in a nk-cni bench --conf "$lab/a/net.conflist" --count "$1" --parallel "$2" --prefix "nk-cycle$1"; }
bench 5 1 > /dev/null   # lazily made things exist after a first round
remember a "$lab/before"
fds=$(descriptors a)
memory() { awk '/VmRSS/ { print $2 }' "/proc/$(lab_agent_pid a)/status"; }
memory_before=$(memory)

# A round holds all of its pods at once, and a node's pool has 253 addresses.
for ((done = 0; done < cycles; done += 200)); do
  result=$(bench $((cycles < 200 ? cycles : 200)) 1)
  note "$(jq -c . <<< "$result")"
  equal "failures" 0 "$(jq '[.. | objects | .failures? // empty] | add' <<< "$result")"
done
result=$(bench "$burst" "$burst")
note "$burst at once: $(jq -c . <<< "$result")"
equal "failures of $burst at once" 0 "$(jq '[.. | objects | .failures? // empty] | add' <<< "$result")"

same_world a "$lab/before"
equal "open files of the agent" "$fds" "$(descriptors a)"
growth=$(($(memory) - memory_before))
[ "$growth" -lt 4096 ] || fail "the agent grew by $growth KiB over $((cycles + burst)) pods"
equal "endpoints" 2 "$(ctl a endpoints | jq '[.. | objects | select(has("host_ifname"))] | length')"
works a1 a2
works a1 b1
