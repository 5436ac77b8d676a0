#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The API server is away, for NETKITE_OUTAGE seconds (60): pods keep talking, ADD and DEL work, and soon after its return all
# is as it should be. A test may last NETKITE_TEST_LIMIT seconds (300).
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
open_lab
nodes a b control
outage=${NETKITE_OUTAGE:-60} rate=2000
control_up
problems() { ctl "$1" status | jq -r '.problems[]'; }
says() { [[ $(problems "$1") = *"$2"* ]]; }
route_to() { ip -n "$lab_prefix-$1" route show "$2"; }
for node in a b; do node_object "$node" "$([ "$node" = a ] && echo 1 || echo 2)" | kubectl create -f - > /dev/null; kube_agent "$node"; done
for node in a b; do until_true 20 node_ready "$node" || fail "node $node is not ready: $(problems "$node")"; done
lab_pod a a1
lab_pod b b1
works a1 b1

for family in $both; do
  lab_start "recv-$family" a1 nk-probe udp-recv "600$family" --bind "$(lab_ip a1 "$family")" --seconds $((outage + 120))
  nsenter --net="$(lab_path b1)" nk-probe udp-send "$(lab_ip a1 "$family")" "600$family" --rate "$rate" --seconds $((outage + 10)) > "$lab/send-$family" &
  senders+=($!)
done
api_down
gone=$SECONDS adds=0
until_true 20 says a 'kubernetes: ' || fail "the missing server is not named"
while [ $((SECONDS - gone)) -lt "$outage" ]; do
  lab_pod a a2
  works a2 b1
  lab_unpod a a2
  adds=$((adds + 1))
  node_ready a || fail "node a is not ready without the server: $(problems a)"
  sleep 1
done
note "$adds pods added and deleted in $outage s without the server"

api_up
back=$EPOCHREALTIME
node_object c 9 '["10.77.9.0/24"]' '["192.0.2.9"]' | kubectl create -f - > /dev/null
for node in a b; do
  eventually 10 '[ -n "$(route_to "$node" 10.77.9.0/24)" ]' || fail "node $node has no route to node c after 10 s: $(problems "$node")"
  eventually 10 '[ -z "$(problems "$node")" ]' || fail "node $node still: $(problems "$node")"
done
note "all is known again $(awk -v a="$back" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }') s after the server was ready"

for sender in "${senders[@]}"; do wait "$sender" || fail "a sender failed: $(cat "$lab"/send-*)"; done
for family in $both; do
  result=$(lab_finish "recv-$family")
  note "IPv$family: $(cat "$lab/send-$family") $result"
  equal "lost datagrams over IPv$family" 0 "$(jq .lost <<< "$result")"
  equal "all numbers known to the receiver" true "$(jq .complete <<< "$result")"
done
