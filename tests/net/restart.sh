#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The agent is killed, restarted, and its programs replaced under traffic: no packet is lost, no connection breaks.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
usual_lab
seconds=$((12 + 6 * (slow > 1))) rate=2000

# Numbered datagrams on the three kinds of paths, in both families, and a TCP stream on two of them.
senders=()
flow() {
  local name=$1 from=$2 to=$3 family=$4 port=$5
  lab_start "recv-$name" "$to" nk-probe udp-recv "$port" --bind "$(lab_ip "$to" "$family")" --seconds $((seconds + 30))
  nsenter --net="$(lab_path "$from")" nk-probe udp-send "$(lab_ip "$to" "$family")" "$port" --rate "$rate" --seconds "$seconds" \
    > "$lab/jobs/send-$name.out" &
  senders+=("$name:$!")
}
stream() {
  nsenter --net="$(lab_path "$2")" nk-probe stream "$(lab_ip "$3" "$4")" 5000 --seconds "$seconds" --timeout 10 > "$lab/jobs/send-$1.out" &
  senders+=("$1:$!")
}
for server in a2 b1; do lab_start "serve-$server" "$server" nk-probe serve --tcp 5000; done
flow local4 a1 a2 4 6001
flow remote6 a1 b1 6 6002
[ "$slow" -gt 1 ] || { flow remote4 b1 a1 4 6003; flow host6 a a2 6 6004; flow local6 a2 a1 6 6005; }
stream stream4 a1 a2 4
if [ "$slow" = 1 ]; then
  lab_start serve-a1 a1 nk-probe serve --tcp 5000
  stream stream6 b1 a1 6
fi

device=$(host_device a a1)
if [ "$DEVICE" = veth ]; then hooks=(tcx-ingress tcx-egress); else hooks=(netkit-peer netkit-primary); fi
attached() { for hook in "${hooks[@]}"; do lab_in a nk-foreign ids "$device" "$hook"; done; lab_in a nk-foreign ids eth0 tcx-ingress; }
ids() { attached | cut -d ' ' -f 1; }
links() { attached | cut -d ' ' -f 2; }
links_before=$(links)

note "killed, and away for a while"
lab_agent_stop a KILL
sleep 0.5
agent a
note "killed at once after the start"
agent_again a . KILL
note "a clean end"
agent_again a . TERM
note "other programs: compiled here, then the embedded ones again"
ids_before=$(ids)
agent_again a '.datapath.position = "last" | .datapath.compile = "clang"' KILL
[ "$ids_before" != "$(ids)" ] || fail "the programs were not replaced"
agent_again a . KILL
note "both agents at once"
lab_agent_stop a KILL &
stopping=$!   # "wait %%" would be for another job when this one is over by then
lab_agent_stop b KILL
wait "$stopping" 2>/dev/null || true
rm -f "$lab/jobs/agent-a.pid" "$lab/jobs/agent-b.pid"
agent a
agent b
equal "links after all of this (the same ones, updated in place)" "$links_before" "$(links)"

for sender in "${senders[@]}"; do
  wait "${sender#*:}" || fail "the sender of ${sender%:*} failed: $(cat "$lab/jobs/send-${sender%:*}.out")"
  out=$(cat "$lab/jobs/send-${sender%:*}.out")
  case $sender in
    stream*)
      note "${sender%:*}: $out"
      at_least "bytes of ${sender%:*}" 1000000 "$(jq .bytes <<< "$out")" ;;
    *)
      result=$(lab_finish "recv-${sender%:*}")
      note "${sender%:*}: $out $result"
      equal "lost datagrams of ${sender%:*}" 0 "$(jq .lost <<< "$result")"
      equal "all numbers of ${sender%:*} known to the receiver" true "$(jq .complete <<< "$result")"
      at_least "datagrams of ${sender%:*} per second" $((rate * 9 / 10)) \
        "$(jq '.sent / .seconds | floor' <<< "$out")" ;;
  esac
done
