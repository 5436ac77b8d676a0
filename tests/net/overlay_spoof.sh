#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A node may send through the overlay for itself and its own pods, to this node and its pods. Everything else that comes
# out of a tunnel is dropped with its own reason, and nothing of it arrives anywhere.
# devices: netkit netkit-l2 veth
. "$(dirname "$0")/../lib.sh"
usual_lab '.routing = "overlay"'
count=7 mac=02:6e:6b:00:00:01
for target in a1 a2 a b1 b world; do
  watch "$target" crafted 'udp dport 9999' 'icmp type { echo-request, redirect }' 'icmpv6 type { echo-request, nd-router-advert }'
done

# wrapped FROM KIND SOURCE DESTINATION [VNI [MAC]]: to node a, inside UDP
wrapped() { lab_in "$1" nk-packet "vxlan:${5:-1}@$(lab_ip a 4)" "$2" "$3" "$4" "$count" "${6:-$mac}"; }
lie() {
  local reason=$1 before
  before=$(drops a "$reason")
  wrapped "${@:2}"
  eventually 2 '[ "$(drops a "$reason")" = $((before + count)) ]' ||
    fail "$* counted $(($(drops a "$reason") - before)), expected $count: $(ctl a drops | jq -c .)"
}

# First the truth: the same packets from who they claim to be from.
truths=0
for family in $both; do
  for source in b1 b; do
    truths=$((truths + count))
    for target in a1 a; do
      wrapped b udp "$(lab_ip "$source" "$family")" "$(lab_ip "$target" "$family")"
      eventually 2 '[ "$(seen "$target" crafted)" = "$truths" ]' ||
        fail "of $truths good packets $(seen "$target" crafted) arrived at $target: $(ctl a drops | jq -c '[.drops[] | select(.packets > 0)]')"
    done
  done
done

for family in $both; do
  [ "$family" = 4 ] && anybody=203.0.113.7 nobody=10.77.1.99 || anybody=2001:db8:bad::7 nobody=fd77:1::99
  for target in a1 a; do
    to=$(lab_ip "$target" "$family")
    lie overlay-spoof b udp "$(lab_ip a2 "$family")" "$to"      # a pod of the receiver
    lie overlay-spoof b udp "$(lab_ip a "$family")" "$to"       # the receiver
    lie overlay-spoof b echo "$anybody" "$to"
    lie overlay-spoof world udp "$(lab_ip b1 "$family")" "$to"  # another node's pod
    lie overlay-spoof world udp "$(lab_ip b "$family")" "$to"
    lie overlay-foreign b udp "$(lab_ip b1 "$family")" "$to" 2
    lie overlay-foreign world udp "$(lab_ip b1 "$family")" "$to" 77
    lie overlay-foreign b udp "$(lab_ip b1 "$family")" "$to" 1 02:00:00:00:00:01
  done
  # No node is a router for another.
  lie overlay-foreign b udp "$(lab_ip b1 "$family")" "$(lab_ip world "$family")"
  lie overlay-foreign b udp "$(lab_ip b1 "$family")" "$(lab_ip b "$family")"
  lie overlay-foreign b udp "$(lab_ip b1 "$family")" "$nobody"
done
lie overlay-foreign b udp "$(lab_ip b1 6)" ff02::1
lie overlay-foreign b udp "$(lab_ip b1 4)" 224.0.0.1
lie overlay-spoof b udp 127.0.0.1 "$(lab_ip a1 4)"
lie loopback b udp "$(lab_ip b1 4)" 127.0.0.1
lie loopback b udp "$(lab_ip b1 6)" ::1
lie overlay-spoof b ra fe80::1 ff02::1
lie unsupported-l3 b arp "$(lab_ip b1 4)" "$(lab_ip a1 4)"

# Beside the tunnel: a pod of a node that is reached by the overlay is not heard on the uplink.
uplink=$(ip -n nk-a -j link show eth0 | jq -r '.[0].address')
for family in $both; do
  before=$(drops a uplink-spoof)
  lab_in b nk-packet eth0 udp "$(lab_ip b1 "$family")" "$(lab_ip a1 "$family")" "$count" "$uplink"
  eventually 2 '[ "$(drops a uplink-spoof)" = $((before + count)) ]' || fail "a pod's packet on the uplink, IPv$family, is not dropped"
done

# A pod that speaks to an overlay itself, at an address that nobody knows to be a node's: its packets keep the pod's own
# address, whoever masquerades, and so are refused there.
second=192.0.2.177
ip -n nk-a address add "$second/24" dev eth0
for mode in nftables bpf; do
  agent_again b ".routing = \"overlay\" | .masquerade.mode = \"$mode\""
  for family in $both; do
    before=$(drops a overlay-spoof)
    lab_in b1 nk-packet "vxlan:1@$second" udp "$(lab_ip b "$family")" "$(lab_ip a1 "$family")" "$count" "$mac"
    eventually 2 '[ "$(drops a overlay-spoof)" = $((before + count)) ]' ||
      fail "what pod b1 says to an overlay in its node's name ($mode) counted $(($(drops a overlay-spoof) - before)), expected $count: $(ctl a drops | jq -c .)"
  done
done

for target in a1 a; do equal "packets that arrived at $target, beside good ones" "$truths" "$(seen "$target" crafted)"; done
for target in a2 b1 b world; do equal "packets that arrived at $target" 0 "$(seen "$target" crafted)"; done
works a1 b1
