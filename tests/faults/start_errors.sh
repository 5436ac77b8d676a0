#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every BPF call of the agent's start fails in turn, with pods that live: the agent says what failed or does without;
# the pods' traffic flows, checked as ever; and the next start finds everything in order.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/steps.bash"
open_lab
nodes a b
agent a
lab_pod a a1
lab_pod a a2
remember a "$lab/before"
watch a2 lie 'ip saddr 203.0.113.0/24'
lab_agent_stop a KILL

# start OPTION…: the agent under strace, until it serves or ends
start() {
  rm -f "$lab/a/run/agent.sock"
  nsenter --net="$(lab_path a)" strace -f "$@" netkite-agent --config "$lab/a/agent.json" > "$lab/a/start.log" 2>&1 &
  tracer=$!
  until_true 30 serves_or_ended || fail "the start neither serves nor ends: $(tail -5 "$lab/a/start.log")"
}
ended() { ! kill -0 "$tracer" 2> /dev/null; }
serves_or_ended() { ended || { [ -S "$lab/a/run/agent.sock" ] && conf_filter='.cniVersion = "1.1.0"' plugin STATUS a a1; }; }
stop() {
  local pid
  for pid in $(cat "/proc/$tracer/task/$tracer/children" 2> /dev/null); do kill "-$1" "$pid" 2> /dev/null || true; done
  wait "$tracer" 2> /dev/null || true
}

start -o "$lab/trace"
stop TERM
# About forty of them here, fewer on a slow machine.
steps "$lab/trace" '' bpf > "$lab/calls"
awk -v every=$(($(wc -l < "$lab/calls") * slow / 40 + 1)) 'NR % every == 0' "$lab/calls" > "$lab/steps"
note "$(wc -l < "$lab/steps") BPF calls of a start"
refusals=0
while read -r name n <&3; do
  start -o /dev/null -e "inject=$name:error=EPERM:when=$n"
  if ended; then
    refusals=$((refusals + 1))
    [ -s "$lab/a/start.log" ] || fail "the start with $name $n failing ended without a word"
  fi
  ping_once a1 a2 2 4 && ping_once a1 a2 2 6 ||
    fail "the start with $name $n failing cuts pods off: $(tail -5 "$lab/a/start.log")"
  craft a1 udp 203.0.113.7 "$(lab_ip a2 4)" 3
  equal "spoofed packets that arrived, with $name $n failing at the start" 0 "$(seen a2 lie)"
  stop KILL
done 3< "$lab/steps"
note "$(wc -l < "$lab/steps") starts, $refusals refused"
agent a
same_world a "$lab/before"
works a1 a2
