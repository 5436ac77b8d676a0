#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Direct server return: a client from outside asks one node and is answered by the backend's, which is reached by the
# overlay. TCP and UDP of both families at node ports and addresses of the service.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
services_lab
with_services+=' | .routing = "'${DSR_ROUTING:-overlay}'" | .masquerade.mode = "bpf"'
leading="$with_services | .services.dsr = true"
agent a "$leading"
agent b "$with_services"
lab_pod a a1
lab_pod b b1
lab_pod b b2
. "$(dirname "$0")/web_service.bash"
serve_pods a1 b1 b2
for node in a b; do
  mac=$(ip -n "$lab_prefix-$node" -j link show eth0 | jq -r '.[0].address')
  watch_mac=${watch_mac:-}"add counter inet by $node; add rule inet by seen ether saddr $mac meta l4proto { tcp, udp } th sport { 30080, 30053, 30081, 80, 53, 81 } counter name $node; "
done
lab_in world nft -f - <<< "add table inet by; add chain inet by seen { type filter hook prerouting priority -400; }; $watch_mac"
answers_of() { lab_in world nft -j list counter inet by "$1" | jq '.nftables[] | .counter? // empty | .packets'; }

service
slices a1 b1 b2
in_force "a1 b1 b2"

note "all backends, under the address that was asked for"
asked_everywhere "a1 b1 b2"

note "the other node answers itself; its pods see the client; whole streams"
slices b1
in_force b1
for node in a b; do ctl $node conntrack flush > /dev/null; done
by_a=$(answers_of a) by_b=$(answers_of b)
for family in $both; do
  address=$(lab_ip a $family)
  equal "backends" b1 "$(talk tcp "$address" 30080 10 | names)"
  lab_in world nk-probe stream "$address" 30081 --bytes "$(scaled 50000000)" > /dev/null || fail "a stream over IPv$family"
  equal "the client that b1 sees" "${client[$family]}" "$(lab_in world nk-probe seen-as "$address" 30081 | jq -r .address)"
done
equal "answers by the node that was asked" "$by_a" "$(answers_of a)"
at_least "answers by the backend's" "$((by_b + 40))" "$(answers_of b)"
uses() { ctl "$1" conntrack list | jq -r '[.entries[] | "\(.use) \(.direction)"] | unique | join(", ")'; }
equal "connections of the node that was asked" "direct original" "$(uses a)"
equal "connections of the backend's" "service original, service reply" "$(uses b)"

note "datagrams in pieces; and that the client does not want the answers reaches the backend"
watch world answers 'udp sport 30053'
watch b1 errors 'icmp type destination-unreachable' 'icmpv6 type destination-unreachable'
lab_finish serve-b1 TERM > /dev/null
talks_in_pieces b1 world 30053 "$(lab_ip a 4)" "$(lab_ip a 6)"
for family in $both; do
  errors=$(seen b1 errors)
  lab_in world nft -f - <<< 'table inet refuse { chain input { type filter hook input priority 0; udp sport 30053 reject with icmpx port-unreachable; }; }'
  asks_in_pieces world "$(lab_ip a $family)" 30053 || fail "a datagram of 3000 bytes does not reach b1 over IPv$family"
  eventually 5 '[ "$(seen b1 errors)" -gt "$errors" ]' || fail "an error does not reach b1 over IPv$family"
  lab_in world nft delete table inet refuse
done

note "who asks from within the cluster is answered by the node that was asked"
slices b1 b2
in_force "b1 b2"
equal "a pod over IPv4" "b1 b2" "$(talk tcp "$(lab_ip b 4)" 30080 30 a1 | names)"
equal "a node itself" "b1 b2" "$(talk tcp "$(lab_ip a 4)" 30080 30 b | names)"

note "agents are killed, and start again: connections go on, and new ones come"
hold held world "$(lab_ip a 4)" 30081
lab_agent_stop a KILL
lab_agent_stop b KILL
equal "backends without agents" "b1 b2" "$(talk tcp "$(lab_ip a 6)" 30080 30 | names)"
agent a "$leading"
agent b "$with_services"
in_force "b1 b2"
contains "a connection from before" open "$(release held)"

note "a backend goes: nobody is led to it any more; the last one goes: refused at once"
slices a1
in_force a1
slices
eventually 5 '[ "$(talk tcp "$(lab_ip a 4)" 30080)" = "error: Connection refused" ]' || fail "an answer: $(talk tcp "$(lab_ip a 4)" 30080)"

note "endpoints that do not say which node they are on: whoever is asked serves with all of them"
slices a1 b1 b2
for family in $both; do jq 'del(.endpoints[].nodeName)' "$manifests/slice-web-$family.json" | put "slice-web-$family.json"; done
in_force "a1 b1 b2"
slices

note "who may ask, and who keeps a backend"
service '.spec.loadBalancerSourceRanges = ["198.51.100.0/24"]'
slices b1 b2
# Either node may be the first to know.
eventually 10 '[[ $(talk connected $balancer 53) = "error: no answer" ]] && [ "$(drops a source-range)" -gt 0 ]' ||
  fail "an answer: $(talk connected $balancer 53), or no drop: $(ctl a drops)"
service '.spec.loadBalancerSourceRanges = ["'"${client[4]}"'/32"] | .spec.sessionAffinity = "ClientIP"'
eventually 5 '[ "$(talk tcp $balancer 80 20 | names | wc -w)" = 1 ]' || fail "several backends for one client"
lacks "its backend" error "$(talk tcp $balancer 80 20 | names)"

note "switched off: answers by the node that was asked"
service
agent_again a "$with_services"
in_force "b1 b2"
by_b=$(answers_of b)
equal "backends" "b1 b2" "$(talk tcp "$(lab_ip a 4)" 30080 20 | names)"
equal "answers by the backend's" "$by_b" "$(answers_of b)"

note "a node may lead clients here, to a service's pods; nobody else may, and nowhere else"
service '.spec.ports += [{name: "trap", protocol: "UDP", port: 9999, targetPort: 8080, nodePort: 30099}]'
put_slices web '[{"name": "trap", "protocol": "UDP", "port": 8080}]' b1 b2
eventually 5 'ctl b services | grep -q 9999' || fail "the service is not there: $(ctl b services)"
count=7
for target in b1 b2 b; do watch "$target" crafted 'ip saddr 203.0.113.50' 'ip6 saddr 2001:db8:bad::7'; done
arrived() { echo $(($(seen b1 crafted) + $(seen b2 crafted) + $(seen b crafted))); }
# led FROM SOURCE DESTINATION: wrapped for node b
led() { lab_in "$1" nk-packet "vxlan:1@$(lab_ip b 4)" udp "$2" "$3" "$count" 02:6e:6b:00:00:01; }
led a 203.0.113.50 $balancer
eventually 2 '[ "$(arrived)" = $count ]' || fail "of $count packets that node a leads here $(arrived) arrived: $(ctl b drops)"
lie() {
  local before
  before=$(drops b overlay-spoof)
  led "$@"
  eventually 2 '[ "$(drops b overlay-spoof)" = $((before + count)) ]' || fail "$* is not dropped: $(ctl b drops)"
}
lie world 203.0.113.51 $balancer            # no node of ours
lie a 203.0.113.50 "$(lab_ip b1 4)"         # a pod, and no service
lie a 203.0.113.50 "$(lab_ip world 4)"
lie a "$(lab_ip b1 4)" $balancer            # a pod of this node
lie a 127.0.0.1 $balancer
lie a 2001:db8:bad::7 "$(lab_ip b1 6)"
equal "packets that arrived" "$count" "$(arrived)"
