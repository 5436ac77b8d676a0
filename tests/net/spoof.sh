#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A pod may only speak for itself: every kind of lie is dropped with its own reason, and nothing of it arrives anywhere.
# devices: netkit netkit-l2 veth
. "$(dirname "$0")/../lib.sh"
usual_lab
count=7

# Nobody else in this laboratory sends packets of these kinds: one count for all lies.
arriving=('udp dport 9999' 'icmp type { echo-request, redirect }' 'icmpv6 type { echo-request, nd-redirect, nd-router-advert }')
for target in a2 b1 a world; do watch "$target" crafted "${arriving[@]}"; done
truths=0

# lie REASON KIND FAMILY SOURCE [TARGETS]: to the neighbour, the other node, the node itself and the world
lie() {
  local reason=$1 kind=$2 family=$3 source=$4 target before n=0
  before=$(drops a "$reason")
  for target in ${5:-a2 b1 a world}; do
    craft a1 "$kind" "$source" "$(lab_ip "$target" "$family")" "$count"
    n=$((n + count))
  done
  eventually 2 '[ "$(drops a "$reason")" = $((before + n)) ]' ||
    fail "$kind from $source: $reason counted $(($(drops a "$reason") - before)), expected $n: $(ctl a drops | jq -c .)"
}
nothing_arrived() {
  local target
  for target in a2 b1 a; do equal "$1: packets that arrived at $target, beside good ones" "$truths" "$(seen "$target" crafted)"; done
  equal "$1: packets that arrived at the world" 0 "$(seen world crafted)"
}

# First the truth: the same packets with the pod's own address do arrive.
for family in $both; do
  for kind in udp echo; do
    truths=$((truths + count))
    for target in a2 b1 a; do
      craft a1 "$kind" "$(lab_ip a1 "$family")" "$(lab_ip "$target" "$family")" "$count"
      eventually 2 '[ "$(seen "$target" crafted)" = "$truths" ]' ||
        fail "of $truths good packets $(seen "$target" crafted) arrived at $target ($kind, IPv$family)"
    done
  done
done

for kind in udp echo; do
  lie spoofed-source "$kind" 4 "$(lab_ip a2 4)" 'b1 a world'   # a neighbour
  lie spoofed-source "$kind" 4 "$(lab_ip b1 4)" 'a2 a world'   # a pod of the other node
  lie spoofed-source "$kind" 4 "$(lab_ip a 4)"                 # the node
  lie spoofed-source "$kind" 4 203.0.113.7                     # anybody
  lie unspecified-source "$kind" 4 0.0.0.0
  lie spoofed-source "$kind" 6 "$(lab_ip a2 6)" 'b1 a world'
  lie spoofed-source "$kind" 6 "$(lab_ip a 6)"
  lie spoofed-source "$kind" 6 2001:db8:bad::7
  lie spoofed-source "$kind" 6 fe80::7
  lie unspecified-source "$kind" 6 ::
done
nothing_arrived 'false sources'
lie loopback udp 4 127.0.0.1
lie loopback udp 4 127.255.0.9
lie loopback udp 6 ::1
# From its own address, but nothing that a pod may say.
lie router-advertisement ra 6 "$(lab_ip a1 6)"
lie redirect redirect 4 "$(lab_ip a1 4)"
lie redirect redirect 6 "$(lab_ip a1 6)"
lie source-route source-route 4 "$(lab_ip a1 4)"
lie source-route source-route 6 "$(lab_ip a1 6)"
lie malformed truncated 4 "$(lab_ip a1 4)"
lie malformed truncated 6 "$(lab_ip a1 6)"
# The source, or its port, is the pod's until a device writes a checksum over it.
for kind in forged forged-port; do
  lie malformed "$kind" 4 "$(lab_ip a1 4)"
  lie malformed "$kind" 6 "$(lab_ip a1 6)"
done
nothing_arrived 'what no pod may say'

# Towards the node's loopback addresses, from the pod's own address.
before=$(drops a loopback)
craft a1 udp "$(lab_ip a1 4)" 127.0.0.1 "$count"
eventually 2 '[ "$(drops a loopback)" = $((before + count)) ]' || fail "packets to 127.0.0.1 are not dropped as loopback"
nothing_arrived 'for 127.0.0.1'

before=$(drops a unsupported-l3)
craft a1 arp "$(lab_ip a1 4)" "$(lab_ip a2 4)" "$count"
eventually 2 '[ "$(drops a unsupported-l3)" = $((before + count)) ]' || fail "ARP is not dropped as unsupported-l3"

# A node that lies about one of our pods on the uplink.
before=$(drops a uplink-spoof)
watch a2 uplink "ip saddr $(lab_ip a1 4)"
mac=$(ip -n nk-a -j link show eth0 | jq -r '.[0].address')
lab_in b nk-packet eth0 udp "$(lab_ip a1 4)" "$(lab_ip a2 4)" "$count" "$mac"
eventually 2 '[ "$(drops a uplink-spoof)" = $((before + count)) ]' || fail "a spoofed packet on the uplink is not dropped as uplink-spoof"
equal "packets from the uplink with a local pod's address that reached a2" 0 "$(seen a2 uplink)"

# Nothing of this hurt the pod.
works a1 a2
works a1 b1
