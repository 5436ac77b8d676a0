#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The pods' MTU follows the uplink while the agent runs; packets that do not fit are answered, not lost; large segments
# stay whole.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
usual_lab
pod_mtu() { lab_in "$1" ip -j link show eth0 | jq '.[0].mtu'; }
equal "the pod's MTU" 1500 "$(pod_mtu a1)"

set_mtu() { for node in a b; do ip -n "nk-$node" link set eth0 mtu "$1"; ip -n nk-switch link set "to-$node" mtu "$1"; done; }
set_mtu 1400
view() { [ "$(ctl a status | jq '.uplinks[0].mtu')" = "$1" ]; }
until_true 5 view 1400 || fail "the agent does not notice the uplink's new MTU: $(ctl a status | jq -c .uplinks)"
lab_pod a a3
equal "a new pod's MTU" 1400 "$(pod_mtu a3)"
equal "the result's mtu" 1400 "$(jq '[.interfaces[] | select((.sandbox // "") != "")][0].mtu' "$lab/pods/a3.json")"
host=$(host_device a a3)
equal "the host end's MTU" 1400 "$(ip -n nk-a -j link show "$host" | jq '.[0].mtu')"
works a3 b1

# An older pod still has 1500: what does not fit is refused with the right size, and TCP finds its way.
lab_start serve b1 nk-probe serve --tcp 5000
for family in $both; do
  lab_in a1 nk-probe stream "$(lab_ip b1 "$family")" 5000 --bytes 2000000 > /dev/null || fail "TCP over IPv$family with a smaller MTU on the way"
done
size=$((1500 - 28))
lab_in a1 ping -n -M "do" -s "$size" -c 2 -i 0.2 -W 2 "$(lab_ip b1 4)" > "$lab/ping" 2>&1 || true
grep -qiE 'frag needed.*1400|mtu *= *1400|too long' "$lab/ping" || fail "no word about the MTU: $(cat "$lab/ping")"

set_mtu 9000
until_true 5 view 9000 || fail "the agent does not notice the larger MTU"
lab_pod a a4
equal "a new pod's MTU" 9000 "$(pod_mtu a4)"
lab_pod b b2
lab_in a4 ping -q -n -M "do" -s 8900 -c 3 -i 0.1 -W 2 "$(lab_ip b2 4)" > /dev/null || fail "8,900 bytes do not pass at an MTU of 9,000"
lab_in a4 ping -q -n -M "do" -s 8900 -c 3 -i 0.1 -W 2 "$(lab_ip b2 6)" > /dev/null || fail "8,900 bytes do not pass over IPv6"

# Fixed by configuration.
agent_again a '.mtu = 1300'
lab_pod a a5
equal "the configured MTU" 1300 "$(pod_mtu a5)"
works a5 b1

# Segmentation is left to the last device: the pod's sizes are the uplink's.
gso() { ip -n "nk-$1" -d -j link show eth0 | jq -c '.[0] | [.gso_max_size, .gro_max_size]'; }
equal "GSO and GRO sizes of the pod and the uplink" "$(gso a)" "$(gso a4)"
