#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The command-line tool against a live agent: every command in both forms, live drop events, the node doctor.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
usual_lab
table() { lab_in a netkite --socket "$lab/a/run/agent.sock" "$@"; }

for command in status endpoints drops 'prefilter list'; do
  ctl a $command | jq -e . > /dev/null || fail "netkite $command --output json is not JSON"
  [ -n "$(table $command)" ] || fail "netkite $command prints nothing"
done
contains "status" a "$(ctl a status | jq -r .node_name)"
equal "endpoints in status" 2 "$(ctl a status | jq .endpoints)"
equal "addresses taken" '2 2' "$(ctl a status | jq -r '[.pools[].taken] | join(" ")')"
contains "the table of endpoints" "$(lab_ip a1 4)" "$(table endpoints)"
contains "the table of endpoints" "$(lab_ip a2 6)" "$(table endpoints)"

# Map bytes are what the kernel charges for the maps that are pinned.
charged=0
for pin in $(find "$lab/bpf/a" -type f); do
  bytes=$(bpftool -j map show pinned "$pin" 2> /dev/null | jq '.bytes_memlock // 0' 2> /dev/null) || bytes=0
  charged=$((charged + ${bytes:-0}))
done
note "map bytes: $(ctl a status | jq .map_bytes), pinned ones in the kernel: $charged"
equal "map bytes in status" "$charged" "$(ctl a status | jq .map_bytes)"

note "monitor"
lab_in a netkite --socket "$lab/a/run/agent.sock" --output json monitor --count 3 --timeout $((20 * slow)) > "$lab/events" &
monitor=$!
lie_once() { craft a1 udp 203.0.113.7 "$(lab_ip a2 4)" 1; ! kill -0 "$monitor" 2> /dev/null; }
until_true 15 lie_once || fail "monitor does not end after three events: $(cat "$lab/events")"
wait "$monitor" || fail "monitor failed: $(cat "$lab/events")"
equal "events" 3 "$(jq -s 'flatten | length' "$lab/events")"
# A pod's kernel may have something to say of its own, which is refused as well.
jq -s 'flatten | map(select(.source == "203.0.113.7")) | first' "$lab/events" > "$lab/event"
equal "the first event of the lie" 'spoofed-source' "$(jq -r .reason "$lab/event")"
contains "the first event of the lie" "$(lab_ip a2 4)" "$(cat "$lab/event")"

note "the node doctor"
ctl a check --bpffs "$lab/bpf/a" > "$lab/check" || note "check exits with $?"
jq -e . "$lab/check" > /dev/null || fail "netkite check --output json is not JSON: $(cat "$lab/check")"
note "$(jq -c . "$lab/check" | cut -c 1-600)"
equal "foreign programs where there are none" ok "$(jq -r '.checks[] | select(.item == "foreign-programs").status' "$lab/check")"

note "mistakes"
for words in banana 'status banana' '--output xml status' 'prefilter' 'prefilter add' 'monitor --count x'; do
  ! table $words > "$lab/out" 2>&1 || fail "netkite $words was accepted"
  [ -s "$lab/out" ] || fail "netkite $words is refused without a word"
done
lab_agent_stop a TERM
! table status > "$lab/out" 2>&1 || fail "status without an agent succeeded"
contains "status without an agent" agent "$(cat "$lab/out")"
