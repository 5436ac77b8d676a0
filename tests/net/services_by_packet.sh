#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Services for pods whose sockets nobody translates: those outside of the control group, and all where there is none. TCP
# and UDP of both families, from backends everywhere, errors and pieces, while backends and agents come and go.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
services_lab
routing=${SERVICES_ROUTING:-native}
with_services+=' | .routing = "'$routing'" | .masquerade.mode = "'${SERVICES_MASQUERADE:-nftables}'"'
agent a "$with_services"
agent b ".routing = \"$routing\""
lab_pod a a1
lab_pod a a2
lab_pod b b1
for who in a a1 a2 b1 world; do
  lab_start "serve-$who" $who nk-socket serve 8080 $who
  lab_start "probe-$who" $who nk-probe serve --tcp 5000
done
declare -A cluster=([4]=10.96.0.10 [6]=fd96::10) neighbour=([4]=192.0.2.254 [6]=2001:db8::254)
# service [JQ-FILTER]
service() {
  jq -n '{apiVersion: "v1", kind: "Service", metadata: {name: "web"}, spec: {
    clusterIP: "10.96.0.10", clusterIPs: ["10.96.0.10", "fd96::10"], ipFamilies: ["IPv4", "IPv6"], ports: [
      {name: "web", protocol: "TCP", port: 80, targetPort: 8080}, {name: "dns", protocol: "UDP", port: 53, targetPort: 8080},
      {name: "probe", protocol: "TCP", port: 81, targetPort: 5000}]}}' | jq "${1:-.}" | put service.json
}
service
slices() {
  put_slices web '[{"name": "web", "protocol": "TCP", "port": 8080}, {"name": "dns", "protocol": "UDP", "port": 8080},
    {"name": "probe", "protocol": "TCP", "port": 5000}]' "$@"
}
# Somebody outside, who has one address on the way to the nodes.
outside() {
  local family
  slices world
  for family in $both; do
    jq --arg address "${neighbour[$family]}" '.endpoints[].addresses = [$address]' "$manifests/slice-web-$family.json" | put "slice-web-$family.json"
  done
}
serving() {
  [ "$(talk tcp "${cluster[4]}" 80 20 a1 | names)" = "$1" ] && [ "$(talk connected "${cluster[6]}" 53 20 a1 | names)" = "$1" ]
}
in_force() {
  until_true 5 serving "$1" ||
    fail "expected answers of '$1', got: $(talk tcp "${cluster[4]}" 80 10 a1 | names), $(talk connected "${cluster[6]}" 53 10 a1 | sort | uniq -c) $(ctl a status | jq -c .problems)"
}
# answers_all NAME SEEN-AS: under the address that was asked for; SEEN-AS: who seems to ask, a pod or a node
answers_all() {
  local family address how
  for family in $both; do
    address=${cluster[$family]}
    equal "TCP" "$1 from $address 80" "$(talk tcp "$address" 80 1 a1)"
    for how in udp connected; do equal "$how" "$1 from $address 53" "$(talk $how "$address" 53 1 a1)"; done
    equal "whom $1 sees" "$(lab_ip "$2" $family)" "$(lab_in a1 nk-probe seen-as "$address" 81 | jq -r .address)"
    lab_in a1 nk-probe stream "$address" 81 --bytes "$(scaled 20000000)" > /dev/null || fail "a stream over IPv$family"
  done
}
# alone NAME: nobody listens there for a while, and then it talks in pieces
alone() {
  local family
  lab_finish "serve-$1" TERM > /dev/null
  for family in $both; do
    equal "nobody listens, IPv$family" "error: Connection refused" "$(talk connected "${cluster[$family]}" 53 1 a1)"
    equal "nobody listens by TCP, IPv$family" "error: Connection refused" "$(talk tcp "${cluster[$family]}" 80 1 a1)"
  done
  talks_in_pieces "$1" a1 53 "${cluster[@]}"
  in_force "$1"
}
watch a1 answers 'udp sport 53'

note "backends on this node, on another one, this node itself, somebody outside: each of them, and all"
slices a2 b1
in_force "a2 b1"
for who in "a2 a" "b1 a" "a a1" "world a"; do
  if [ "$who" = "world a" ]; then outside; else slices ${who% *}; fi
  in_force ${who% *}
  answers_all $who
  alone ${who% *}
done
equal "problems" "[]" "$(ctl a status | jq -c .problems)"

note "a client keeps its backend, if the service wants that"
slices a2 b1
in_force "a2 b1"
service '.spec += {sessionAffinity: "ClientIP"}'
kept() { [ "$(talk "$1" "${cluster[$2]}" "$3" 20 a1 | names | wc -w)" = 1 ]; }
for family in $both; do
  until_true 5 kept tcp $family 80 || fail "TCP over IPv$family changes its backend"
  until_true 5 kept connected $family 53 || fail "UDP over IPv$family changes its backend"
done
service

note "a pod that serves itself"
slices a1
in_force a1
answers_all a1 a

note "a pod whose packets others see behind us, and so take the stack"
[ "$DEVICE" = veth ] && hook=tcx-ingress || hook=netkit-peer
lab_in a nk-foreign attach "$(host_device a a2)" $hook after next "$lab/bpf/behind"
agent_again a "$with_services"
slices a2
in_force a2
answers_all a2 a1
rm -r "$lab/bpf/behind"
agent_again a "$with_services"
answers_all a2 a

note "nobody serves: refused at once"
slices
for family in $both; do
  for how in "tcp ${cluster[$family]} 80" "connected ${cluster[$family]} 53"; do
    eventually 5 '[ "$(talk $how 1 a1)" = "error: Connection refused" ]' || fail "$how: $(talk $how 1 a1)"
  done
done

note "a connection outlives the agent"
slices b1
in_force b1
hold held a1 "${cluster[4]}" 81
shown() { ctl a nat | jq -r '.connections[] | "\(.client) \(.entrance) \(.backend):\(.backend_port)"'; }
eventually 5 'shown | grep -qxF "$(lab_ip a1 4) ${cluster[4]} $(lab_ip b1 4):5000"' || fail "netkite nat does not show it: $(shown)"
lab_agent_stop a KILL
answers_all b1 a
agent a "$with_services"
in_force b1
equal "the connection" open "$(release held)"

note "a node without a control group"
agent_again a "$with_services | .services.cgroup = \"$lab\""
contains "the problem" "services.cgroup: $lab is no control group of version 2; until then pods are served" "$(ctl a status | jq -r '.problems[]')"
in_force b1
answers_all b1 a
