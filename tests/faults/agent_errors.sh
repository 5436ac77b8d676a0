#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every BPF and netlink call of the agent fails in turn, in an ADD and in its start: the ADD fails whole, the start says
# what failed or succeeds, and never is a pod's device open without its checks.
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
failed=0
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
    until_true 2 no_device_in p || fail "ADD with $name $n failing leaves the pod's device"
    plugin DEL a p || fail "DEL after $name $n: $answer"
  fi
  note "$name $n: ${answer:0:200}"
  wait_for=2 same_world a "$lab/before"
done 3< "$lab/steps"
kill "$liar"; wait "$liar" 2> /dev/null || true
note "ADD failed $failed times"
at_least "failures of ADD" 4 "$failed"
equal "packets with a stranger's address that reached the neighbour" 0 "$(seen a2 lie)"
equal "open files of the agent" "$fds" "$(descriptors a)"

# The start, with pods that live: each BPF call fails once.
lab_agent_stop a KILL
lab_config a > /dev/null
start() { lab_in a strace -f -o "${trace:-/dev/null}" "$@" netkite-agent --config "$lab/a/agent.json" > "$lab/a/start.log" 2>&1; }
trace=$lab/trace.start start & starting=$!
until_true 20 plugin STATUS a p || conf_filter='.cniVersion = "1.1.0"' until_true 5 plugin STATUS a p || true
until_true 20 test -S "$lab/a/run/agent.sock"
sleep $((1 * slow))
pkill -TERM -P "$starting" netkite-agent 2> /dev/null || kill -TERM $(pgrep -f "netkite-agent --config $lab/a/agent.json" | tail -1) || true
wait "$starting" || true
steps "$lab/trace.start" '' bpf | awk 'NR % '"$((3 * slow))"' == 1' > "$lab/steps.start"
note "$(wc -l < "$lab/steps.start") BPF calls of a start"
starts=0 refusals=0
while read -r name n <&3; do
  starts=$((starts + 1))
  start -e "inject=$name:error=EPERM:when=$n" & starting=$!
  ready() { conf_filter='.cniVersion = "1.1.0"' plugin STATUS a p || ! kill -0 "$starting" 2> /dev/null; }
  until_true 20 ready || fail "the start with $name $n failing hangs: $(tail -5 "$lab/a/start.log")"
  if ! kill -0 "$starting" 2> /dev/null; then
    refusals=$((refusals + 1))
    [ -s "$lab/a/start.log" ] || fail "the start with $name $n failing ended without a word"
  fi
  works a1 a2
  before=$(seen a2 lie)
  craft a1 udp 203.0.113.7 "$(lab_ip a2 4)" 3
  equal "spoofed packets that arrived, with $name $n failing at the start" "$before" "$(seen a2 lie)"
  for pid in $(pgrep -f "netkite-agent --config $lab/a/agent.json"); do [ "$(cat "/proc/$pid/comm")" != netkite-agent ] || kill -KILL "$pid"; done
  wait "$starting" 2> /dev/null || true
done 3< "$lab/steps.start"
note "$starts starts, $refusals refused"
agent a
same_world a "$lab/before"
works a1 a2
