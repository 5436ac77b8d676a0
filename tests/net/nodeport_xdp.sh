#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Services at XDP: connections from outside with a pod of another node are passed on before tcx sees them, whatever is
# unusual is tcx's, and the client notices nothing of it.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
services_lab
at_xdp="$with_services | .services.xdp = \"auto\""
agent a "$at_xdp"
agent b
lab_pod a a1
lab_pod b b1
for pod in a1 b1; do
  lab_start "serve-$pod" "$pod" nk-socket serve 8080 "$pod"
  lab_start "probe-$pod" "$pod" nk-probe serve --tcp 5000 --udp 5000
done
address() { lab_ip a "$1"; }

# service BACKEND
service() {
  jq -n '{apiVersion: "v1", kind: "Service", metadata: {name: "web"}, spec: {type: "NodePort",
    clusterIPs: ["10.96.0.10", "fd96::10"], ports: [{name: "probe", protocol: "TCP", port: 81, nodePort: 30081},
      {name: "dns", protocol: "UDP", port: 53, nodePort: 30053}]}}' | put service.json
  put_slices web '[{"name": "probe", "protocol": "TCP", "port": 5000}, {"name": "dns", "protocol": "UDP", "port": 8080}]' "$1"
}
answers() { echo "$(address "$1") 30053" | lab_in world nk-socket talk connected | sed 's/ .*//'; }
in_force() { until_true 5 eval '[ "$(answers 4)$(answers 6)" = '"$1$1"' ]' || fail "expected answers of $1, got $(answers 4) and $(answers 6)"; }

# Packets that tcx on the uplink of node a gets to see while a client asks $rounds times.
lab_in a nk-foreign attach eth0 tcx-ingress before next "$lab/bpf/counted"
counted() { nk-foreign count "$lab/bpf/counted"; }
rounds=$(scaled 1000)
at_tcx() {
  local before
  before=$(counted)
  lab_in world nk-probe rtt "$(address "$1")" 30081 --count "$rounds" > /dev/null || fail "a client of $(address "$1") has no answers"
  echo $(($(counted) - before))
}
mode() { ctl a status | jq -r '.uplinks[] | select(.name == "eth0").services'; }

service b1
in_force b1
contains "where services are passed on" "xdp: what comes in" "$(mode)"

note "the other end of the uplink takes nothing that XDP sends: tcx serves"
for family in $both; do at_least "packets at tcx, IPv$family" $((2 * rounds)) "$(at_tcx $family)"; done

note "senders that leave checksums to a card, which a veth does not have: tcx serves"
lab_in switch nk-wire to-a checksums
ip -n "$lab_prefix-a" link set eth0 txqueuelen 999   # whatever is told of the uplink makes the agent look again
eventually 5 '[ "$(mode)" = xdp ]' || fail "the agent does not see what the uplink takes now: $(mode)"
few() { [ "$(at_tcx "$1")" -le $((rounds / 5)) ]; }
for family in $both; do at_least "packets at tcx, IPv$family" $((2 * rounds)) "$(at_tcx $family)"; done
lab_in switch nk-wire to-a

note "XDP passes on, tcx sees beginnings and ends"
for family in $both; do
  until_true 10 few "$family" || fail "tcx sees packets of connections that XDP could have passed on: $(at_tcx $family) of $((2 * rounds)) over IPv$family"
  lab_in world nk-probe stream "$(address $family)" 30081 --bytes "$(scaled 50000000)" > /dev/null || fail "a stream over IPv$family"
  equal "whom the pod sees" "$(address $family)" "$(lab_in world nk-probe seen-as "$(address $family)" 30081 | jq -r .address)"
  equal "a datagram's answer" b1 "$(answers $family)"
done

note "a pod of this node is tcx's"
service a1
in_force a1
for family in $both; do at_least "packets at tcx, IPv$family" "$rounds" "$(at_tcx $family)"; done
service b1
in_force b1

note "the deny-list goes first"
ctl a prefilter add 192.0.2.254/32 > /dev/null
equal "a denied client" "error: no answer" "$(echo "$(address 4) 30053" | lab_in world nk-socket talk connected)"
equal "another one" b1 "$(answers 6)"
ctl a prefilter del 192.0.2.254/32 > /dev/null
equal "the client, no longer denied" b1 "$(answers 4)"

note "the agent is killed: XDP goes on"
lab_agent_stop a KILL
for family in $both; do few $family || fail "tcx sees packets without an agent: $(at_tcx $family)"; done
agent a "$at_xdp"
in_force b1
for family in $both; do until_true 10 few $family || fail "tcx sees packets after a restart: $(at_tcx $family)"; done

note "without: neither program nor way at XDP"
agent_again a "$with_services"
in_force b1
equal "where services are passed on" tcx "$(mode)"
equal "programs at XDP" 0 "$(ctl a status | jq '[.. | objects | select(.hook? == "xdp")] | length')"
for family in $both; do at_least "packets at tcx, IPv$family" $((2 * rounds)) "$(at_tcx $family)"; done

note "not in generic mode, which is slower"
agent_again a "$at_xdp | .prefilter = {mode: \"generic\"}"
in_force b1
contains "where services are passed on" 'tcx: prefilter.mode is "generic"' "$(mode)"
