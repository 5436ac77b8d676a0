#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The table of translated connections: who stands in it, across restarts of the agent; what is flushed, what others
# cannot end, and what ends by itself.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
services_lab
with_services+=' | .http_port = 9477'
agent a "$with_services"
agent b
lab_pod b b1
lab_start serve b1 nk-probe serve --tcp 5000

# The backend is on another node, so that the source is translated too, to what the agent has learnt of its own node.
jq -n '{apiVersion: "v1", kind: "Service", metadata: {name: "web"}, spec: {type: "NodePort", clusterIP: "10.96.0.10",
  clusterIPs: ["10.96.0.10", "fd96::10"], ipFamilies: ["IPv4", "IPv6"],
  ports: [{name: "web", protocol: "TCP", port: 80, targetPort: 5000, nodePort: 30081},
    {name: "dns", protocol: "UDP", port: 53, targetPort: 5000, nodePort: 30053}]}}' | put service.json
put_slices web '[{"name": "web", "protocol": "TCP", "port": 5000}, {"name": "dns", "protocol": "UDP", "port": 5000}]' b1

# Of the service's connections: lines FIELD…
translated() { ctl a nat | jq -r '.connections[] | select(.entrance_port == 30081) | "\(.protocol) \(.state) \(.client) \(.entrance) \(.backend):\(.backend_port) \(.source)"' | sort; }
page() { lab_in a bash -c "exec 3<> /dev/tcp/127.0.0.1/9477 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3"; }
asked() { lab_in world nk-probe seen-as "$(lab_ip a "$1")" 30081 > /dev/null 2>&1; }
for family in $both; do until_true 5 asked $family || fail "no answer over IPv$family: $(ctl a status | jq -c .problems)"; done
equal "nothing is left of what was flushed" "2 0" "$(ctl a conntrack flush | jq .removed) $(ctl a nat | jq '.connections | length')"

note "one line a connection, two entries, counted"
hold one world "$(lab_ip a 4)" 30081
hold two world "$(lab_ip a 6)" 30081
line() { echo "TCP established $1 $2 $3:5000 $2"; }
expected=$({ line 192.0.2.254 "$(lab_ip a 4)" "$(lab_ip b1 4)"; line 2001:db8::254 "$(lab_ip a 6)" "$(lab_ip b1 6)"; } | sort)
equal "translated connections" "$expected" "$(translated)"
port=$(ctl a nat | jq '[.connections[].source_port] | min')
at_least "the port that a translation takes" 61000 "$port"
equal "directions" "original original reply reply" "$(ctl a conntrack list | jq -r '.entries[].direction' | sort | paste -sd ' ')"
equal "a limit" "1 true" "$(ctl a nat --limit 1 | jq -r '"\(.connections | length) \(.more)"')"
eventually 10 '[[ $(page) = *"netkite_connections{use=\"service\",protocol=\"TCP\"} 2"* ]]' || fail "no figures: $(page | grep connections)"
equal "the map's fill" 4 "$(ctl a status | jq '.maps[] | select(.name == "nk_ct_v1") | .entries')"

note "a restart of the agent changes nothing"
agent_again a "$with_services" KILL
equal "translated connections" "$expected" "$(translated)"

note "a flush takes those that it names; whoever goes on hears so"
equal "of nobody" 0 "$(ctl a conntrack flush --address 203.0.113.99 | jq .removed)"
equal "of a port, but another protocol" 0 "$(ctl a conntrack flush --port 30081 --protocol udp | jq .removed)"
equal "of a backend" 1 "$(ctl a conntrack flush --address "$(lab_ip b1 4)" --protocol tcp | jq .removed)"
equal "the flushed one" broken "$(release one)"
equal "the other one" open "$(release two)"

note "what others send in a client's name ends no connection"
mac=$(ip -n "$lab_prefix-a" -j link show eth0 | jq -r '.[0].address')
hold three world "$(lab_ip a 4)" 30081
# The ports of those that are established: the client's, and the one that it is translated to.
seen_as() { ctl a nat | jq -r '.connections[] | select(.state == "established") | "\(.client_port) \(.source_port)"'; }
eventually 5 '[ "$(seen_as | wc -l)" = 1 ]' || fail "expected one connection: $(ctl a nat | jq -c '.connections[]')"
as=$(seen_as)
forge() { lab_in world nk-packet eth0 "$1:30081:${as% *}" 192.0.2.254 "$(lab_ip a 4)" 1 "$mac"; }
forge rst
eventually 5 '[ -z "$(seen_as)" ]' || fail "a reset shows nowhere"
forge syn
eventually 5 '[ "$(seen_as)" = "$as" ]' || fail "expected '$as', got: $(ctl a nat | jq -c '.connections[]')"
forge rst
equal "the client goes on" open "$(release three)"

note "what has ended goes by itself"
eventually 25 '[ "$(ctl a conntrack list | jq ".entries | length")" = 0 ]' || fail "still there: $(ctl a conntrack list | jq -c '.entries[]')"
eventually 10 '[[ $(page) = *"netkite_connections_expired_total "[1-9]* ]]' || fail "none has expired: $(page | grep connections)"
