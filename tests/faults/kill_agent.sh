#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The agent is killed at every one of its system calls while it serves an ADD, a DEL or its own start: the plugin says so
# and leaves nothing; the next agent puts everything right; other pods notice nothing.
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
lab_start ping a1 ping -q -n -i 0.05 "$(lab_ip a2 4)"

# traced OPTION…: strace holds the agent; it must have attached before anything is asked of the agent.
traced() {
  strace -f -p "$(lab_agent_pid a)" "$@" 2> "$lab/strace.err" &
  tracer=$!
  until_true 10 grep -q attached "$lab/strace.err" || fail "strace did not attach: $(cat "$lab/strace.err")"
}
untraced() { kill "$tracer" 2> /dev/null || true; wait "$tracer" 2> /dev/null || true; }

traced -o "$lab/trace.add"; plugin ADD a p || fail "ADD: $answer"; untraced
traced -o "$lab/trace.del"; plugin DEL a p || fail "DEL: $answer"; untraced
# What changes something outside the agent; between two of these it does not matter where the agent dies.
names='bpf|sendto|sendmsg|write|openat|rename|renameat2|unlink|unlinkat|mkdir|fsync|fdatasync'
steps "$lab/trace.add" '' "$names" | thinned > "$lab/steps.add"
steps "$lab/trace.del" '' "$names" | thinned > "$lab/steps.del"
note "$(wc -l < "$lab/steps.add") steps of the agent in ADD, $(wc -l < "$lab/steps.del") in DEL"
gone() { ! kill -0 "$(lab_agent_pid a)" 2> /dev/null; }

# die VERB: the agent dies at a step while the plugin asks for VERB; another agent starts
killed=0
die_in() {
  traced -o /dev/null -e "inject=$2:signal=KILL:when=$3"
  if plugin "$1" a p; then survived=yes; else survived=; fi
  if until_true 1 gone; then killed=$((killed + 1)); fi
  untraced
  lab_agent_stop a KILL
}
while read -r name n <&3; do
  die_in ADD "$name" "$n"
  [ -n "$survived" ] || [ -n "$answer" ] || fail "ADD said nothing when the agent died at $name $n"
  [ -n "$survived" ] || no_device_in p || fail "the agent died at $name $n of ADD: the plugin left the device"
  agent a
  [ -z "$survived" ] || ping_once p a1 1 4 || until_true 2 ping_once p a1 1 4 || fail "the agent died at $name $n after ADD succeeded: the pod is cut off"
  plugin DEL a p || fail "DEL after the agent died at $name $n of ADD: $answer"
  same_world a "$lab/before"
done 3< "$lab/steps.add"
note "killed $killed times in ADD"
at_least "kills in ADD" $(($(wc -l < "$lab/steps.add") / 2)) "$killed"

killed=0
while read -r name n <&3; do
  plugin ADD a p || fail "ADD: $answer"
  die_in DEL "$name" "$n"
  [ -n "$survived" ] || fail "DEL failed because the agent died at $name $n: $answer"
  agent a
  same_world a "$lab/before"
  no_device_in p || fail "the agent died at $name $n of DEL: the pod's device is left"
done 3< "$lab/steps.del"
note "killed $killed times in DEL"
at_least "kills in DEL" $(($(wc -l < "$lab/steps.del") / 2)) "$killed"

lab_finish ping INT > /dev/null
note "$(grep transmitted "$lab/jobs/ping.out")"
equal "pings lost between the other pods" '0%' "$(sed -nE 's/.* ([0-9.]+%) packet loss.*/\1/p' "$lab/jobs/ping.out")"
