#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Connected sockets of datagrams: they keep their backend as long as it serves, and lose their connection when it goes,
# in pods and on the node, of both families, and whether an agent sees it go or not.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
services_lab
agent a "$with_services"
agent b
lab_pod a a1
lab_pod a a2
lab_pod b b1
for pod in a2 b1; do lab_start "serve-$pod" "$pod" nk-socket serve 8080 "$pod"; done

cluster4=10.96.0.10 cluster6=fd96::10
service() {
  jq -n --arg v4 "$cluster4" --arg v6 "$cluster6" '{apiVersion: "v1", kind: "Service", metadata: {name: "dns"}, spec: {
    clusterIP: $v4, clusterIPs: [$v4, $v6], ipFamilies: ["IPv4", "IPv6"], ports: [{protocol: "UDP", port: 53, targetPort: 8080}]}}' | put service-dns.json
}
slices() { put_slices dns '[{"protocol": "UDP", "port": 8080}]' "$@"; }
in_force() { eventually 5 "[ \"\$(ctl a services | jq -c '[.services[].backends_total] | unique')\" = '$1' ]" || fail "$(ctl a services)"; }

# flow NAME FROM ADDRESS PORT HOW…: a socket that says something when it is told to; said NAME: what it gets for it
declare -A pipe where
flow() {
  local name=$1 from=$2
  where[$name]="$3 $4"
  mkfifo "$lab/$name.in"
  bash -c 'echo $$ > "$0/cgroup.procs"; exec nsenter --net="$1" nk-socket talk "${@:2}"' "$group" "$(lab_path "$from")" "${@:5}" \
    < "$lab/$name.in" > "$lab/$name.out" 2> "$lab/$name.err" &
  echo $! > "$lab/jobs/$name.pid"
  exec {pipe[$name]}> "$lab/$name.in"
}
said() {
  local count
  count=$(wc -l < "$lab/$1.out")
  echo "${where[$1]}" >&"${pipe[$1]}"
  eventually 5 "[ \"\$(wc -l < $lab/$1.out)\" -gt $count ]" || fail "$1 says nothing: $(cat "$lab/$1.err")"
  tail -n 1 "$lab/$1.out"
}
server() { said "$1" | cut -d ' ' -f 1; }
flows="pod4 pod6 pod46 node4 node6"
# Who answers each of them, once where it is the same; cut_off: nobody does, since their backend has gone
servers() { local each; for each in $flows; do server "$each"; done | sort -u | paste -sd ' '; }
cut_off() {
  local each
  eventually 10 '[[ $(said pod4) = error:* ]]' || fail "pod4 still talks with who has gone"
  for each in ${flows#pod4 }; do contains "$each" error: "$(said "$each")"; done
}

service
slices b1
in_force '[1]'
flow pod4 a1 "$cluster4" 53 flow
flow pod6 a1 "$cluster6" 53 flow
flow pod46 a1 "::ffff:$cluster4" 53 flow 6
flow node4 a "$cluster4" 53 flow
flow node6 a "$cluster6" 53 flow
flow straight a1 "$(lab_ip b1 4)" 8080 flow
flow datagrams a1 "$cluster4" 53 udp
equal "the only backend" b1 "$(servers)"
equal "the same without a service" b1 "$(server straight)"
equal "the same by a socket that is not connected" b1 "$(server datagrams)"

note "another one comes: nobody has to move"
slices a2 b1
in_force '[2]'
sleep 2
equal "the same one" b1 "$(servers)"

note "it is going, and serves to the end: nobody has to move yet"
for family in $both; do
  jq --arg pod "$(lab_ip b1 "$family")" '(.endpoints[] | select(.addresses[0] == $pod)).conditions = {ready: false, serving: true, terminating: true}' \
    "$manifests/slice-dns-$family.json" | put "slice-dns-$family.json"
done
in_force '[1]'
sleep 2
equal "the same one" b1 "$(servers)"

note "it is gone: sockets are cut off, and get the other one when they ask again"
slices a2
cut_off
equal "the other one" a2 "$(servers)"
equal "who has asked for no service keeps talking" b1 "$(server straight)"
equal "a socket that is not connected has moved" a2 "$(server datagrams)"
equal "complaints" '[]' "$(ctl a status | jq -c .problems)"

note "it goes while the agent is away: the next one cuts them off"
lab_agent_stop a KILL
slices b1
equal "nobody has told the programs" a2 "$(servers)"
agent a "$with_services"
in_force '[1]'
cut_off
equal "the other one" b1 "$(servers)"

note "the service goes, with its backends"
rm "$manifests"/*-dns*
cut_off
equal "who has asked for no service keeps talking" b1 "$(server straight)"

note "a network namespace that cannot be opened: said, tried again, and harmless to the others"
service
slices b1
in_force '[1]'
equal "the only backend" b1 "$(servers)"
path=$(lab_path a1)
umount "$path"
slices a2
eventually 10 '[[ $(said node4) = error:* ]]' || fail "node4 still talks with b1"
eventually 10 "[[ \$(ctl a status | jq -r '.problems[]') = *'keep backends that have gone'*$path* ]]" || fail "no complaint: $(ctl a status | jq -c .problems)"
