#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ports of the node that lead to pods (hostPort): from outside, from pods and from the node, over TCP and UDP of both
# families, while pods ask for the same port and agents come and go.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
services_lab
with_services+=' | .services.host_ports = true'
agent a "$with_services"
agent b
lab_pod a a2
lab_pod b b1
declare -A client=([4]=192.0.2.254 [6]=2001:db8::254)
node4=$(lab_ip a 4) node6=$(lab_ip a 6)
remember a "$lab/before"

# pod_with POD JSON: its mappings; and it serves
with_ports() { lab_in a nk-cni "$1" --conf "$lab/ports.conflist" --netns "$(lab_path "$2")" --container "$lab_prefix-$2" --result "$lab/pods/$2.json" --capabilities "{\"portMappings\": $3}"; }
pod_with() {
  jq '.plugins[0].capabilities = {portMappings: true}' "$lab/a/net.conflist" > "$lab/ports.conflist"
  lab_namespace "$1"
  with_ports add "$1" "$2" > "$lab/pods/$1.out" || fail "ADD of $1: $(cat "$lab/pods/$1.out")"
  lab_start "serve-$1" "$1" nk-socket serve 8080 "$1"
}
pod_gone() { lab_finish "serve-$1" TERM > /dev/null; lab_unpod a "$1"; }
# talk FROM HOW ADDRESS PORT: who answers under which address; in_group: as a process of the node's, or of one of its pods
talk() { echo "$3 $4" | lab_in "$1" nk-socket talk $2; }
in_group() { bash -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group" "$@"; }
talk_here() { echo "$3 $4" | in_group nsenter --net="$(lab_path "$1")" nk-socket talk $2; }
# Just after ADD or DEL, which do not wait for the maps.
answers() { [ "$(talk world tcp "$node4" "$2")" = "$1 from $node4 $2" ]; }
closed() { [ "$(talk world tcp "$node4" "$1")" = "error: Connection refused" ]; }
served() { until_true 2 answers "$1" "$2" || fail "port $2 is to be served by $1: $(talk world tcp "$node4" "$2") $(ctl a status | jq -c .problems)"; }
unserved() { until_true 2 closed "$1" || fail "port $1 is still served: $(talk world tcp "$node4" "$1")"; }
problems() { ctl a status | jq -r '.problems[]'; }

note "from outside: TCP and UDP of both families, and the pod sees who asks"
web='[{"hostPort": 8080, "containerPort": 8080}, {"hostPort": 8080, "containerPort": 8080, "protocol": "UDP"}, {"hostPort": 8081, "containerPort": 5000, "protocol": "tcp"}]'
pod_with a1 "$web"
lab_start probe a1 nk-probe serve --tcp 5000
served a1 8080
for family in $both; do
  address=$(lab_ip a $family)
  for from in world b b1; do
    for how in tcp udp connected; do equal "$how from $from" "a1 from $address 8080" "$(talk $from $how "$address" 8080)"; done
  done
  equal "the client" "${client[$family]}" "$(lab_in world nk-probe seen-as "$address" 8081 | jq -r .address)"
  lab_in world nk-probe stream "$address" 8081 --bytes "$(scaled 50000000)" > /dev/null || fail "a stream over IPv$family"
done

note "from the node, from another pod and from the pod itself; a loopback address is whoever's who asks"
for who in a a2 a1; do
  for address in "$node4" "$node6"; do
    for how in tcp udp connected; do equal "$how from $who" "a1 from $address 8080" "$(talk_here $who $how "$address" 8080)"; done
  done
done
for who in a a2; do equal "127.0.0.1 of $who" "error: Connection refused" "$(talk_here $who tcp 127.0.0.1 8080)"; done

note "what there is to see"
equal "services" "HostPort 192.0.2.1:8080/TCP HostPort 192.0.2.1:8080/UDP HostPort 192.0.2.1:8081/TCP" \
  "$(ctl a services | jq -r '[.services[] | select(.address == "192.0.2.1") | "\(.type) \(.address):\(.port)/\(.protocol)"] | sort | join(" ")')"
equal "a1's" '["8080:8080/tcp","8080:8080/udp","8081:5000/tcp"]' "$(ctl a endpoints | jq -c '.endpoints[] | select(.container_id | endswith("-a1")) | .host_ports')"

note "one address of the node, or one family"
ip -n "$lab_prefix-a" address add 192.0.2.101/24 dev eth0
pod_with a3 '[{"hostPort": 8090, "containerPort": 8080, "hostIP": "192.0.2.101"}, {"hostPort": 8091, "containerPort": 8080, "hostIP": "0.0.0.0"}, {"hostPort": 8092, "containerPort": 8080, "hostIP": "::"}]'
served a3 8091
equal "there" "a3 from 192.0.2.101 8090" "$(talk world tcp 192.0.2.101 8090)"
unserved 8090
unserved 8092
equal "IPv6 of 0.0.0.0" "error: Connection refused" "$(talk world tcp "$node6" 8091)"
equal "IPv6 of ::" "a3 from $node6 8092" "$(talk world tcp "$node6" 8092)"

note "what is not served is refused by its field, and leaves nothing"
lab_namespace a9
for case in 'portMappings[0].hostIP 203.0.113.9: the node has no such address|{"hostIP": "203.0.113.9"}' \
  'portMappings[0].hostIP 127.0.0.1: loopback|{"hostIP": "127.0.0.1"}' 'portMappings[0].protocol sctp|{"protocol": "SCTP"}'; do
  conf_filter=".runtimeConfig.portMappings = [{hostPort: 80, containerPort: 80} + ${case#*|}]"
  refused any "${case%|*}" ADD a a9
done
conf_filter='.runtimeConfig.portMappings = [{hostPort: 0, containerPort: 80}]'
refused 7 'runtimeConfig.portMappings[0].hostPort is 0' ADD a a9
conf_filter=
ip netns delete "$lab_prefix-a9"
equal "endpoints" 3 "$(ctl a status | jq .endpoints)"

note "who asks for a port last has it; a connection stays, and the port comes back"
hold held world "$node4" 8081
eventually 5 'grep -q open "$lab/jobs/held.out"' || fail "no connection to hold"
pod_with a4 '[{"hostPort": 8080, "containerPort": 8080}, {"hostPort": 8081, "containerPort": 8080}]'
served a4 8080
served a4 8081
equal "from the node" "a4 from $node4 8080" "$(talk_here a tcp "$node4" 8080)"
equal "another protocol" "a1 from $node4 8080" "$(talk world udp "$node4" 8080)"
contains "problems" "is held by pod $lab_prefix-a4" "$(problems)"
equal "what was held" open "$(release held)"
pod_gone a4
served a1 8080
pod_with a4 '[{"hostPort": 8080, "containerPort": 8080}]'
served a4 8080
lab_finish probe TERM > /dev/null
pod_gone a1
served a4 8080
unserved 8081
equal "problems" "" "$(problems)"

note "a NodePort is the service's"
jq -n '{apiVersion: "v1", kind: "Service", metadata: {name: "web"}, spec: {type: "NodePort", clusterIP: "10.96.0.10",
  clusterIPs: ["10.96.0.10", "fd96::10"], ports: [{name: "web", protocol: "TCP", port: 80, targetPort: 8080, nodePort: 8080}]}}' | put service.json
put_slices web '[{"name": "web", "protocol": "TCP", "port": 8080}]' a3
served a3 8080
contains "problems" "pod $lab_prefix-a4: 192.0.2.1:8080/TCP is held by service default/web" "$(problems)"
rm "$manifests/service.json" "$manifests"/slice-*
served a4 8080

note "the agent is killed; the next one does not know the cluster yet, and ports wait for nothing of it"
lab_agent_stop a KILL
equal "without an agent" "a4 from $node4 8080" "$(talk world tcp "$node4" 8080)"
mv "$manifests" "$lab/away"
agent a "$with_services"
equal "after the restart" "a4 from $node4 8080" "$(talk world tcp "$node4" 8080)"
pod_with a5 '[{"hostPort": 8095, "containerPort": 8080}, {"hostPort": 8080, "containerPort": 8080}]'
served a5 8095
served a5 8080
pod_gone a5
unserved 8095
served a4 8080
mv "$lab/away" "$manifests"
eventually 10 '[[ $(problems) = "" ]]' || fail "problems: $(problems)"
served a4 8080
served a3 8091

note "a restart in between changes nothing about who has a port; a pod may go without an agent"
pod_with a6 '[{"hostPort": 8080, "containerPort": 8080}]'
served a6 8080
agent_again a "$with_services" KILL
served a6 8080
lab_agent_stop a KILL
pod_gone a6
agent a "$with_services"
served a4 8080

note "nothing stays"
pod_gone a4
unserved 8080
pod_gone a3
ip -n "$lab_prefix-a" address del 192.0.2.101/24 dev eth0
ctl a conntrack flush > /dev/null
wait_for=10 same_world a "$lab/before"
