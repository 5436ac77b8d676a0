#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Another way of routing is a restart away: pods keep their addresses and their devices, and nothing of the former way is
# left. The overlay goes on while its agent is away, and lets nobody new in when its programs are gone.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
usual_lab
remember a "$lab/native"
overlay='.routing = "overlay"'
pod_mtu() { lab_in "$1" ip -j link show eth0 | jq '.[0].mtu'; }
device() { ip -n nk-a -o link show | grep -c " nk-overlay:" || true; }
everybody() { for path in 'a1 b1' 'b1 a1' 'a b1' 'b a1' 'a1 b' 'a1 a2' 'a1 world'; do works ${path% *} ${path#* }; done; }
everybody
addresses=$(ctl a endpoints | jq -c '[.endpoints[].addresses]')

note "native to overlay"
for node in a b; do agent_again "$node" "$overlay"; done
equal "the pods' addresses" "$addresses" "$(ctl a endpoints | jq -c '[.endpoints[].addresses]')"
equal "the device" 1 "$(device)"
for family in $both; do
  equal "the route to the other node's pods, IPv$family" nk-overlay "$(ip -n nk-a "-$family" -j route get "$(lab_ip b1 "$family")" | jq -r '.[0].dev')"
done
everybody

note "pods from before have a larger MTU: what does not fit is answered"
equal "the old pod's MTU" 1500 "$(pod_mtu a1)"
lab_start serve b1 nk-probe serve --tcp 5000
for family in $both; do
  lab_in a1 nk-probe stream "$(lab_ip b1 "$family")" 5000 --bytes "$(scaled 5000000)" > /dev/null || fail "TCP over IPv$family"
done
lab_in a1 ping -n -M "do" -s $((1500 - 28)) -c 2 -i 0.2 -W 2 "$(lab_ip b1 4)" > "$lab/ping" 2>&1 || true
grep -qiE 'frag needed.*1450|mtu *= *1450|too long' "$lab/ping" || fail "no word about the MTU: $(cat "$lab/ping")"
lab_pod a a3
equal "a new pod's MTU" 1450 "$(pod_mtu a3)"
lab_in a3 ping -q -n -M "do" -s $((1450 - 28)) -c 2 -i 0.1 -W 2 "$(lab_ip b1 4)" > /dev/null || fail "1,450 bytes do not pass"
lab_in a3 ping -q -n -M "do" -s $((1450 - 48)) -c 2 -i 0.1 -W 2 "$(lab_ip b1 6)" > /dev/null || fail "1,450 bytes do not pass over IPv6"
# A narrower way to the other node counts at once.
ip -n nk-a route add 192.0.2.2/32 dev eth0 mtu 1400
narrow() { ip -n nk-a -j route show 10.77.2.0/24 | jq -e '.[0].metrics[0].mtu == 1350' > /dev/null; }
until_true 5 narrow || fail "the route's MTU is not followed: $(ip -n nk-a route show 10.77.2.0/24)"
! lab_in a3 ping -q -n -M "do" -s $((1450 - 28)) -c 2 -i 0.1 -W 1 "$(lab_ip b1 4)" > /dev/null 2>&1 || fail "1,450 bytes pass where 1,350 fit"
ip -n nk-a route delete 192.0.2.2/32
lab_unpod a a3

note "agents go and come under traffic"
lab_start recv b1 nk-probe udp-recv 6001 --bind "$(lab_ip b1 4)" --seconds 60
nsenter --net="$(lab_path a1)" nk-probe udp-send "$(lab_ip b1 4)" 6001 --rate 2000 --seconds 4 > "$lab/sent" &
sender=$!
agent_again a "$overlay" KILL
agent_again b "$overlay" TERM
wait "$sender"
result=$(lab_finish recv)
note "$(cat "$lab/sent") $result"
equal "datagrams lost, and all numbers known" '[0,true]' "$(jq -c '[.lost, .complete]' <<< "$result")"

note "somebody takes the device away"
ip -n nk-a link delete nk-overlay
back() { [ "$(device)" = 1 ] && [ "$(ctl a status | jq -c .problems)" = '[]' ]; }
until_true 15 back || fail "the device is not made again: $(ctl a status | jq -c .problems)"
everybody

note "without its programs it lets nobody in, and the next start puts them back"
lab_agent_stop a KILL
rm "$lab"/bpf/a/links/nk-overlay:*
# A pair that was not decided about before: what was, the uplink's program remembers and checks.
silent a2 b1
silent b1 a2
silent a b1
agent a "$overlay"
everybody

note "overlay to native"
for node in a b; do agent_again "$node"; done
equal "the device" 0 "$(device)"
everybody
same_world a "$lab/native"

note "the overlay's port is somebody else's"
lab_agent_stop a
lab_start taken a nk-probe udp-recv 8472 --bind 192.0.2.1 --seconds 60
jq "$overlay" "$lab/a/agent.json" > "$lab/a/overlay.json"
! lab_in a netkite-agent --config "$lab/a/overlay.json" > "$lab/out" 2>&1 || fail "the agent starts on a port that is taken"
contains "the refusal" 'overlay.port' "$(cat "$lab/out")"
lab_finish taken TERM > /dev/null
agent a "$overlay"
equal "the device" 1 "$(device)"
lab_agent_stop a
lab_in a netkite-agent --cleanup --config "$lab/a/agent.json" > "$lab/out" 2>&1 || fail "--cleanup: $(cat "$lab/out")"
equal "the device after --cleanup" 0 "$(device)"
