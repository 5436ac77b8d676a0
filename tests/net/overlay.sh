#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Nodes whose network knows nothing of pods: every path of a pod over the overlay, in both families, over an IPv4 and an
# IPv6 network. Nothing of a pod is on the wire but inside tunnels.
# devices: netkit netkit-l2 veth
. "$(dirname "$0")/../lib.sh"

clean_wire() { for place in a b world; do equal "packets of pods on the wire, at $place" 0 "$(seen "$place" naked)"; done; }

# <family of the network> <bytes around a packet>
over() {
  local family=$1 mtu=$((1500 - $2)) path server address
  usual_lab ".routing = \"overlay\" | .peers[].addresses |= map(select(contains(\"$([ "$family" = 4 ] && echo . || echo :)\")))"
  for place in a b world; do
    watch "$place" naked 'iifname "eth0" ip saddr 10.77.0.0/16' 'iifname "eth0" ip6 saddr fd77::/16'
    watch "$place" tunnels 'iifname "eth0" udp dport 8472'
  done
  for server in world b1 a2 a b; do lab_start "serve-$server" "$server" nk-probe serve --tcp 5000; done

  for path in 'a1 a2' 'a1 b1' 'b1 a1' 'a1 a' 'a a1'; do works ${path% *} ${path#* }; done
  # Only by the addresses that its peers know it by does a node take part.
  for path in 'a1 b' 'b a1' 'a b1' 'b1 a'; do works ${path% *} ${path#* } "$family"; done
  works a1 world
  at_least "packets in tunnels that reached b" 4 "$(seen b tunnels)"

  for inner in $both; do
    for server in a2 b1; do
      address=$(lab_ip "$server" "$inner")
      equal "the address that $server sees of a1" "$(lab_ip a1 "$inner")" \
        "$(lab_in a1 nk-probe seen-as "$address" 5000 | jq -r .address)"
    done
    lab_in a1 nk-probe stream "$(lab_ip b1 "$inner")" 5000 --bytes "$(scaled 50000000)" > /dev/null
    equal "the address that the world sees of a1: masquerade" "$(lab_ip a "$inner")" \
      "$(lab_in a1 nk-probe seen-as "$(lab_ip world "$inner")" 5000 | jq -r .address)"
  done
  lab_in a nk-probe stream "$(lab_ip b1 "$family")" 5000 --bytes "$(scaled 5000000)" > /dev/null
  lab_in a1 nk-probe stream "$(lab_ip b "$family")" 5000 --bytes "$(scaled 5000000)" > /dev/null
  # Over IPv4 only the first packet of a pair of pods passes the device, on each processor; over IPv6 all do.
  unwrapped() { ip -n nk-b -s -j link show nk-overlay | jq '.[0].stats64.rx.packets'; }
  for inner in $both; do
    before=$(unwrapped)
    lab_in a1 ping -q -c 100 -i 0.01 "$(lab_ip b1 "$inner")" > /dev/null || fail "pings of IPv$inner are lost"
    if [ "$family" = 6 ]; then
      at_least "packets that the device of b unwrapped" $((before + 100)) "$(unwrapped)"
    elif [ "$(unwrapped)" -gt $((before + 20)) ]; then
      fail "the device of b unwrapped $(($(unwrapped) - before)) of 100 packets"
    fi
  done
  equal "the address that b sees of a1" "$(lab_ip a1 "$family")" "$(lab_in a1 nk-probe seen-as "$(lab_ip b "$family")" 5000 | jq -r .address)"
  clean_wire
  equal "the MTU of pods" "$mtu" "$(lab_in a1 ip -j link show eth0 | jq '.[0].mtu')"
  equal "what status says" "overlay $mtu 3" "$(ctl a status | jq -r '"\(.routing) \(.pod_mtu) \(.tunnels)"')"
  equal "problems" '[]' "$(ctl a status | jq -c '.problems')"
  equal "drops on node a" '[]' "$(ctl a drops | jq -c '[.. | objects | select(.packets? > 0) | [.reason, .packets] |
    select(.[0] != "not-for-pod" and .[0] != "unspecified-source")]')"
}
(over 4 50)
(over 6 70)
