#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Services that the world asks for at a node: NodePort, external address, load balancer, over TCP and UDP of both
# families, with backends on this node and on another one.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
services_lab
routing=${NODEPORT_ROUTING:-native}
with_services+=' | .routing = "'$routing'"'
with_services+=' | .masquerade.mode = "'${NODEPORT_MASQUERADE:-nftables}'"'
agent a "$with_services"
agent b ".routing = \"$routing\""
lab_pod a a1
lab_pod b b1
. "$(dirname "$0")/web_service.bash"
serve_pods a1 b1
service
slices a1 b1
in_force "a1 b1"

note "NodePort, load balancer and external address: both backends, under the address that was asked for"
asked_everywhere "a1 b1"
for family in $both; do
  equal "TCP from another node itself" "a1 b1" "$(talk tcp "$(lab_ip a $family)" 30080 $draws b | names)"
  equal "UDP from another node itself" "a1 b1" "$(talk connected "$(lab_ip a $family)" 30053 $draws b | names)"
done
contains "a ClusterIP is nobody's outside" error: "$(ip -n "$lab_prefix-world" route add 10.96.0.10 via "$(lab_ip a 4)" && talk tcp 10.96.0.10 80)"

note "whole streams, through a backend here and one there, and whom they see"
for pod in a1 b1; do
  slices $pod
  in_force $pod
  for family in $both; do
    address=$(lab_ip a $family)
    lab_in world nk-probe stream "$address" 30081 --bytes "$(scaled 50000000)" > /dev/null || fail "a stream to $pod over IPv$family"
    [ $pod = a1 ] && whom=${client[$family]} || whom=$address
    equal "the client that $pod sees" "$whom" "$(lab_in world nk-probe seen-as "$address" 30081 | jq -r .address)"
  done
done

note "datagrams in pieces; and that the client does not want the answers reaches the backend"
watch world answers 'udp sport 30053'
refuse() { lab_in world nft -f - <<< 'table inet refuse { chain input { type filter hook input priority 0; udp sport 30053 reject with icmpx port-unreachable; }; }'; }
for pod in a1 b1; do
  watch $pod errors 'icmp type destination-unreachable' 'icmpv6 type destination-unreachable'
  slices $pod
  in_force $pod
  for family in $both; do
    errors=$(seen $pod errors)
    refuse
    asks_in_pieces world "$(lab_ip a $family)" 30053 || fail "a datagram of 3000 bytes does not reach $pod over IPv$family"
    eventually 5 '[ "$(seen $pod errors)" -gt "$errors" ]' || fail "an error does not reach $pod over IPv$family"
    lab_in world nft delete table inet refuse
  done
done

note "a pod of a node without services asks at this one"
slices a1 b1
in_force "a1 b1"
for family in $both; do
  equal "backends of TCP" "a1 b1" "$(talk tcp "$(lab_ip a $family)" 30080 30 b1 | names)"
  equal "backends of UDP" "a1 b1" "$(talk connected "$(lab_ip a $family)" 30053 30 b1 | names)"
done

note "answers follow the node's routes"
slices b1
in_force b1
watch b detour "ip daddr ${client[4]}" "ip6 daddr ${client[6]}"
detour() { ip -n "$lab_prefix-a" route "$1" "${client[$2]}/$([ "$2" = 4 ] && echo 32 || echo 128)" via "$(lab_ip b "$2")"; }
# by NODE FAMILY: by which an answer comes
by() {
  local before
  before=$(seen b detour)
  equal "backends" b1 "$(talk tcp "$(lab_ip a "$2")" 30080 30 | names)"
  [ "$(seen b detour)" -gt "$before" ] && [ "$1" = b ] || { [ "$(seen b detour)" = "$before" ] && [ "$1" = a ]; }
}
follows() {
  local family
  for family in $both; do
    by a $family || fail "answers take a detour over IPv$family"
    detour add $family
    until_true 5 by b $family || fail "answers do not follow a new route over IPv$family"
    detour del $family
    until_true 5 by a $family || fail "answers do not follow the former route over IPv$family"
  done
}
follows

note "the agent is killed: services go on"
lab_agent_stop a KILL
equal "backends without an agent" b1 "$(talk tcp "$(lab_ip a 4)" 30080 30 | names)"
follows
slices a1 b1
agent a "$with_services"
in_force "a1 b1"

note "policy Local: only this node's backend, which sees the client; without one, silence"
service '.spec.externalTrafficPolicy = "Local"'
in_force a1
equal "the client" "${client[4]}" "$(lab_in world nk-probe seen-as $balancer 81 | jq -r .address)"
slices b1
eventually 5 '[[ $(talk connected "$(lab_ip a 4)" 30053) = "error: no answer" ]]' || fail "an answer: $(talk connected "$(lab_ip a 4)" 30053)"

note "nobody serves: refused at once"
service
slices
for family in $both; do
  for how in "tcp $(lab_ip a $family) 30080" "connected $(lab_ip a $family) 30053"; do
    eventually 5 '[ "$(talk $how)" = "error: Connection refused" ]' || fail "$how: $(talk $how)"
  done
done
at_least "drops" 1 "$(drops a no-backend)"

note "who may ask, and who keeps a backend"
service '.spec.loadBalancerSourceRanges = ["198.51.100.0/24"]'
slices a1 b1
eventually 5 '[[ $(talk connected $balancer 53) = "error: no answer" ]]' || fail "an answer: $(talk connected $balancer 53)"
at_least "drops" 1 "$(drops a source-range)"
service '.spec.loadBalancerSourceRanges = ["'"${client[4]}"'/32"] | .spec.sessionAffinity = "ClientIP"'
eventually 5 '[ "$(talk tcp $balancer 80 20 | names | wc -w)" = 1 ]' || fail "several backends for one client"
lacks "its backend" error "$(talk tcp $balancer 80 20 | names)"
