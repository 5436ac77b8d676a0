#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# routing: auto is native to the nodes on this one's link and takes the overlay to those behind a router, and follows the
# routes while the agent runs.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
open_lab
nodes a b c
for node in a b c; do
  agent "$node" '.routing = "auto"'
  lab_pod "$node" "${node}1"
done
device_to() { ip -n nk-a -j route get "$(lab_ip "$1" "${2:-4}")" | jq -r '.[0].dev'; }
tunnels() { [ "$(ctl "$1" status | jq .tunnels)" = "$2" ]; }
everybody() { for path in 'a1 b1' 'b1 a1' 'a1 c1' 'c1 b1' 'a b1' 'b a1' 'a c1' 'a1 c'; do works ${path% *} ${path#* }; done; }
tunnels a 0 || fail "tunnels between nodes on one link: $(ctl a status | jq -c .)"
equal "the device to b1" eth0 "$(device_to b1)"
equal "the MTU of pods leaves room for a tunnel" 1450 "$(lab_in a1 ip -j link show eth0 | jq '.[0].mtu')"
everybody

note "b moves behind a router"
lab_in world sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0
for node in a c; do ip -n "nk-$node" route add 192.0.2.2/32 via 192.0.2.254; done
for node in 1 3; do ip -n nk-b route add "192.0.2.$node/32" via 192.0.2.254; done
for node in a c; do until_true 5 tunnels "$node" 4 || fail "no tunnels to b on $node: $(ctl "$node" status | jq -c .)"; done
until_true 5 tunnels b 8 || fail "tunnels of b: $(ctl b status | jq -c .)"
for family in $both; do
  equal "the device to b1, IPv$family" nk-overlay "$(device_to b1 "$family")"
  equal "the device to c1, IPv$family" eth0 "$(device_to c1 "$family")"
done
watch world naked 'ip saddr 10.77.0.0/16' 'ip6 saddr fd77::/16'
everybody
equal "packets of pods that the router saw" 0 "$(seen world naked)"
equal "problems" '[]' "$(ctl a status | jq -c .problems)"

note "and back"
for node in a c; do ip -n "nk-$node" route delete 192.0.2.2/32; done
for node in 1 3; do ip -n nk-b route delete "192.0.2.$node/32"; done
for node in a b c; do until_true 5 tunnels "$node" 0 || fail "tunnels are left on $node"; done
everybody
