#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Services that the node itself serves (pods in the host's network), asked for from outside: TCP and UDP of both
# families, errors and pieces, behind a firewall that knows connections, while agents come and go.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
services_lab
routing=${NODEPORT_ROUTING:-native}
with_services+=' | .routing = "'$routing'" | .masquerade.mode = "'${NODEPORT_MASQUERADE:-nftables}'"'
agent b ".routing = \"$routing\""
lab_pod b b1
declare -A client=([4]=192.0.2.254 [6]=2001:db8::254)
balancer=203.0.113.8
clients=(world b1 b)
ip -n "$lab_prefix-world" route add $balancer via "$(lab_ip a 4)"
# The node knows what it has to do with: nothing that its table of connections has seen one half of.
lab_in a nft -f - <<'RULES'
table inet strict {
  counter errors {}
  counter invalid {}
  chain input {
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ct state established accept
    ct state related counter name errors accept
    ct state invalid counter name invalid drop
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    tcp dport { 8080, 5000 } accept
    udp dport { 8080, 8472 } accept
  }
  chain forward {
    type filter hook forward priority 0;
    ct state related counter name errors accept
    ct state invalid counter name invalid drop
  }
}
RULES
strict() { lab_in a nft -j list counter inet strict "$1" | jq '.nftables[] | .counter? // empty | .packets'; }
agent a "$with_services"
lab_pod a a1
for who in a a1; do
  lab_start "serve-$who" $who nk-socket serve 8080 $who
  lab_start "probe-$who" $who nk-probe serve --tcp 5000
done

# service [JQ-FILTER]; slices ENDPOINT…: the node or its pod
service() {
  jq -n '{apiVersion: "v1", kind: "Service", metadata: {name: "web"}, spec: {type: "LoadBalancer",
    clusterIP: "10.96.0.10", clusterIPs: ["10.96.0.10", "fd96::10"], ipFamilies: ["IPv4", "IPv6"], ports: [
      {name: "web", protocol: "TCP", port: 80, targetPort: 8080, nodePort: 30080},
      {name: "dns", protocol: "UDP", port: 53, targetPort: 8080, nodePort: 30053},
      {name: "probe", protocol: "TCP", port: 81, targetPort: 5000, nodePort: 30081}]},
    status: {loadBalancer: {ingress: [{ip: "'$balancer'"}]}}}' | jq "${1:-.}" | put service.json
}
slices() {
  local family who
  for family in $both; do
    for who in "$@"; do lab_ip $who $family; done |
      jq -R '{addresses: [.], nodeName: "a", conditions: {ready: true}}' | jq -s --arg family $family '{
        apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice",
        metadata: {name: "web-\($family)", labels: {"kubernetes.io/service-name": "web"}}, addressType: "IPv\($family)", endpoints: .,
        ports: [{name: "web", protocol: "TCP", port: 8080}, {name: "dns", protocol: "UDP", port: 8080},
          {name: "probe", protocol: "TCP", port: 5000}]}' | put "slice-$family.json"
  done
}
serving() { [ "$(talk tcp "$(lab_ip a 4)" 30080 20 | names)" = "$1" ] && [ "$(talk connected "$(lab_ip a 6)" 30053 20 | names)" = "$1" ]; }
in_force() { until_true 5 serving "$1" || fail "expected answers of '$1', got: $(talk tcp "$(lab_ip a 4)" 30080 10 | names) $(ctl a status | jq -c .problems)"; }
service
slices a
in_force a

# answers_all NAME: it does, under the address that was asked for, and sees who asks
answers_all() {
  local family address from how
  for family in $both; do
    address=$(lab_ip a $family)
    for from in "${clients[@]}"; do
      equal "TCP from $from" "$1 from $address 30080" "$(talk tcp "$address" 30080 1 $from)"
      for how in udp connected; do equal "$how from $from" "$1 from $address 30053" "$(talk $how "$address" 30053 1 $from)"; done
    done
    equal "whom it sees" "${client[$family]}" "$(lab_in world nk-probe seen-as "$address" 30081 | jq -r .address)"
    lab_in world nk-probe stream "$address" 30081 --bytes "$(scaled 50000000)" > /dev/null || fail "a stream over IPv$family"
  done
  equal "TCP at $balancer" "$1 from $balancer 80" "$(talk tcp $balancer 80)"
  equal "UDP at $balancer" "$1 from $balancer 53" "$(talk connected $balancer 53)"
}
# errors_of NAME PORT…: who does not want the answers is heard of; where nobody listens (POD: where), the client hears of it
refuse() { lab_in world nft -f - <<< 'table inet refuse { chain input { type filter hook input priority 0; udp sport 30053 reject with icmpx port-unreachable; }; }'; }
errors_of() {
  local family how before
  for family in $both; do
    before=$(strict errors)
    refuse
    talk connected "$(lab_ip a $family)" 30053 > /dev/null
    eventually 5 '[ "$(strict errors)" -gt "$before" ]' || fail "an error does not reach $1 over IPv$family"
    lab_in world nft delete table inet refuse
  done
  lab_finish "serve-$1" TERM > /dev/null
  for family in $both; do
    for how in "tcp $(lab_ip a $family) 30080" "connected $(lab_ip a $family) 30053"; do
      equal "$how, and nobody listens" "error: Connection refused" "$(talk $how)"
    done
  done
}
pieces_of() {
  talks_in_pieces "$1" world 30053 "$(lab_ip a 4)" "$(lab_ip a 6)"
  in_force "$1"
}
watch world answers 'udp sport 30053'

note "the node answers, under the address that was asked for"
answers_all a
for family in $both; do
  address=$(lab_ip a $family)
  equal "asked without a service" "a from $address 8080" "$(talk tcp "$address" 8080)"
done
equal "problems" "[]" "$(ctl a status | jq -c .problems)"

note "errors and pieces"
errors_of a
pieces_of a

note "the node and a pod of it"
slices a a1
in_force "a a1"

note "a pod whose packets others see behind us, and so take the stack"
[ "$DEVICE" = veth ] && hook=tcx-ingress || hook=netkit-peer
lab_in a nk-foreign attach "$(host_device a a1)" $hook after next "$lab/bpf/behind"
agent_again a "$with_services"
slices a1
in_force a1
before=$(lab_in a nk-foreign count "$lab/bpf/behind")
answers_all a1
at_least "packets of it that were seen" "$((before + 20))" "$(lab_in a nk-foreign count "$lab/bpf/behind")"
errors_of a1
pieces_of a1
equal "packets that the node knew one half of" 0 "$(strict invalid)"

note "the agent is killed, and comes back"
slices a
in_force a
lab_agent_stop a KILL
answers_all a
agent a "$with_services"
answers_all a

note "without services nothing of it stays"
at_egress() { lab_in a nk-foreign ids eth0 tcx-egress | wc -l; }
equal "programs at the uplink's egress" 1 "$(at_egress)"
agent_again a '.routing = "'"$routing"'"'
equal "programs at the uplink's egress" 0 "$(at_egress)"
