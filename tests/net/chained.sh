#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# First in a chain with portmap and tuning from Debian's package: each does its work, and DEL leaves nothing.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
for plugin in portmap tuning; do [ -x "/usr/lib/cni/$plugin" ] || skip "no /usr/lib/cni/$plugin: containernetworking-plugins"; done
command -v iptables > /dev/null || skip "no iptables: dev/setup lab installs it"
usual_lab
for pod in a1 a2; do lab_unpod a "$pod"; done
remember a "$lab/before"

jq '.cniVersion = "1.0.0" | .plugins += [
  {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true},
  {"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_announce": "2", "net.core.somaxconn": "500"}}]' "$lab/a/net.conflist" > "$lab/chain.conflist"
capabilities='{"portMappings": [{"hostPort": 8080, "containerPort": 5000, "protocol": "tcp"}]}'
chain() { lab_in a nk-cni "$1" --conf "$lab/chain.conflist" --netns "$(lab_path "$2")" --container "$2" --result "$lab/pods/$2.json" --capabilities "$3"; }

lab_namespace p
chain add p "$capabilities" > "$lab/out" || fail "ADD of the chain: $(cat "$lab/out")"
# No CHECK of the chain: the package's portmap looks for a dual-stack pod's IPv4 rules in the IPv6 table, and its tuning does
# not replace IFNAME there.
works p b1
works b1 p

note "portmap"
lab_start serve p nk-probe serve --tcp 5000
for client in world; do
  for family in $both; do
    address=$(lab_ip a "$family")
    lab_in "$client" nk-probe connect "$address" 8080 --count 3 > /dev/null || fail "$client does not reach the mapped port over IPv$family"
    note "$client is seen as $(lab_in "$client" nk-probe seen-as "$address" 8080 | jq -r .address)"
  done
done

note "tuning"
equal "net.core.somaxconn of the pod" 500 "$(lab_in p sysctl -n net.core.somaxconn)"
equal "arp_announce of eth0" 2 "$(lab_in p sysctl -n net.ipv4.conf.eth0.arp_announce)"

lab_finish serve TERM > /dev/null
chain del p "$capabilities" > "$lab/out" || fail "DEL of the chain: $(cat "$lab/out")"
chain del p "$capabilities" > "$lab/out" || fail "DEL of the chain, again: $(cat "$lab/out")"
same_world a "$lab/before"
equal "rules of portmap for the pod" 0 "$(lab_in a iptables -t nat -S | grep -c 8080 || true)"
