#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every BPF, netlink and file call of the agent fails in turn while it serves an ADD: the ADD fails whole or succeeds
# although, and never is a pod's device open without its checks.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/steps.bash"
open_lab
nodes a b
agent a
lab_pod a a1
lab_pod a a2
lab_namespace p
plugin ADD a p && plugin DEL a p || fail "$answer"
remember a "$lab/before"
fds=$(descriptors a)

traced() {
  strace -f -p "$(lab_agent_pid a)" "$@" 2> "$lab/strace.err" &
  tracer=$!
  until_true 10 grep -q attached "$lab/strace.err" || fail "strace did not attach: $(cat "$lab/strace.err")"
}
untraced() { kill "$tracer" 2> /dev/null || true; wait "$tracer" 2> /dev/null || true; }
names='bpf|sendto|sendmsg|openat|rename|renameat2|unlink|write|fsync|fdatasync|mkdir'
error_of() { case $1 in bpf) echo EBUSY ;; sendto | sendmsg) echo ENOBUFS ;; write) echo ENOSPC ;; *) echo EIO ;; esac; }

traced -o "$lab/trace"; plugin ADD a p || fail "ADD: $answer"; untraced
plugin DEL a p || fail "DEL: $answer"
steps "$lab/trace" '' "$names" | thinned > "$lab/steps"
note "$(wc -l < "$lab/steps") calls of the agent in ADD"
failed=0 left=() leaks=()
# What leaves a device that must be shut is counted at the neighbour: a stranger's address, sent as soon as there is a device.
watch a2 lie 'ip saddr 203.0.113.0/24'
lab_in p bash -c 'while :; do ip link set eth0 up 2> /dev/null && nk-packet eth0 udp 203.0.113.7 '"$(lab_ip a2 4)"' 3 2> /dev/null; done' > /dev/null 2>&1 &
liar=$!
while read -r name n <&3; do
  traced -o /dev/null -e "inject=$name:error=$(error_of "$name"):when=$n"
  if plugin ADD a p; then
    untraced
    lab_in p ping -q -n -c 1 -W 2 "$(lab_ip a2 4)" > /dev/null || fail "ADD with $name $n failing succeeded, and the pod is cut off"
    plugin DEL a p || fail "DEL: $answer"
  else
    untraced
    failed=$((failed + 1))
    jq -e '.code > 0 and (.msg | length > 0)' <<< "$answer" > /dev/null || fail "ADD with $name $n failing: $answer"
    if ! until_true 2 no_device_in p || ! until_true 1 world_is a "$lab/before"; then
      note "left after ADD with $name $n failing: $answer"
      diff "$lab/before" <(world_of a | sort) || true
      left+=("$name $n")
    fi
    plugin DEL a p || fail "DEL after $name $n: $answer"
    [ "$(descriptors a)" = "$fds" ] || leaks+=("$name $n: $(($(descriptors a) - fds))")
    # What is left is reported at the end; the next case begins from a clean node.
    world_is a "$lab/before" || { plugin ADD a p && plugin DEL a p; } || fail "$answer"
  fi
  wait_for=2 same_world a "$lab/before"
done 3< "$lab/steps"
kill "$liar"; wait "$liar" 2> /dev/null || true
note "ADD failed $failed times"
at_least "failures of ADD" 4 "$failed"
equal "packets with a stranger's address that reached the neighbour" 0 "$(seen a2 lie)"

equal "calls whose failure in ADD leaves something behind" '' "${left[*]}"
equal "calls whose failure leaks a descriptor" '' "${leaks[*]}"
