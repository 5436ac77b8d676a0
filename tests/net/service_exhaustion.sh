#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# No port is left, the table of connections is full, SYNs come as fast as they can be sent: who is new is refused and
# counted, established connections go on, and what the flood has left behind goes.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
services_lab
# 20 connections, two entries each: with all ports taken and the datagrams they are more than three quarters of the table,
# so that they age faster.
tight="$with_services | .services.max_connections = 20"
agent a "$tight | .services.first_port = 61000 | .services.last_port = 61007"
agent b
lab_pod a a1
lab_pod b b1
for pod in a1 b1; do lab_start "serve-$pod" "$pod" nk-probe serve --tcp 5000 --udp 5000; done

jq -n '{apiVersion: "v1", kind: "Service", metadata: {name: "web"}, spec: {type: "NodePort", clusterIP: "10.96.0.10",
  clusterIPs: ["10.96.0.10", "fd96::10"], ipFamilies: ["IPv4", "IPv6"],
  ports: [{name: "tcp", protocol: "TCP", port: 80, targetPort: 5000, nodePort: 30080},
    {name: "udp", protocol: "UDP", port: 80, targetPort: 5000, nodePort: 30080},
    {name: "silent", protocol: "UDP", port: 90, targetPort: 5009, nodePort: 30090}]}}' | put service.json
# slices POD…: who serves
slices() { put_slices web '[{"name": "tcp", "protocol": "TCP", "port": 5000}, {"name": "udp", "protocol": "UDP", "port": 5000}, {"name": "silent", "protocol": "UDP", "port": 5009}]' "$@"; }
slices b1

# Clients that nobody has: their answers end in the world.
declare -A nobody=([4]=203.0.113.1 [6]=2001:db8:f::1)
mac=$(ip -n "$lab_prefix-a" -j link show eth0 | jq -r '.[0].address')
# flood syn:PORT|udp:PORT FAMILY COUNT
flood() { lab_in world nk-packet eth0 "$1" "${nobody[$2]}" "$(lab_ip a "$2")" "$3" "$mac"; }
asked() { lab_in world nk-probe seen-as "$(lab_ip a "$1")" 30080 --timeout 2 > /dev/null 2>&1; }
established() { ctl a nat --limit 100000 | jq '[.connections[] | select(.state == "established" or .state == "answered")] | length'; }
# What the machine's queues and the sockets' own had no room for: whoever has to wait for a processor sends in bursts.
queued_out() {
  local count name sum=0
  while read -r _ count _; do sum=$((sum + 16#$count)); done < /proc/net/softnet_stat
  for name in world a1 b1; do
    for count in $(lab_in "$name" cat /proc/net/snmp6 | awk '$1 == "Udp6RcvbufErrors" { print $2 }') \
      $(lab_in "$name" cat /proc/net/snmp | awk '$1 == "Udp:" { print $6 }' | tail -n 1); do
      sum=$((sum + count))
    done
  done
  echo "$sum"
}
for family in $both; do until_true 10 asked $family || fail "no answer over IPv$family: $(ctl a status | jq -c .problems)"; done
ctl a conntrack flush > /dev/null

# Numbered datagrams there and back, and numbers on a connection: until they are told to end.
flow() {
  nsenter --net="$(lab_path world)" nk-probe "${@:2}" > "$lab/jobs/$1.out" 2> "$lab/jobs/$1.err" &
  echo $! > "$lab/jobs/$1.pid"
}
dropped=$(queued_out)
for family in $both; do
  flow "datagrams$family" udp-send "$(lab_ip a $family)" 30080 --rate "$(scaled 200)" --seconds 1000 --echo yes
  flow "beats$family" beat "$(lab_ip a $family)" 30080 --rate 50 --seconds 1000 --timeout 20
done
eventually 10 '[ "$(established)" = 4 ]' || fail "expected four connections: $(ctl a nat | jq -c '.connections[]')"

# What is too much of the flood is refused for this reason; in time everybody gets in again, and those who were there before
# have stayed: crowd REASON KIND:PORT COUNT
crowd() {
  local family before
  for family in $both; do
    before=$(drops a "$1")
    flood "$2" "$family" "$3"
    at_least "packets of IPv$family refused: $1" 1 $(($(drops a "$1") - before))
  done
  for family in $both; do
    until_true 40 asked "$family" || fail "nobody gets in over IPv$family after $1: $(ctl a nat --limit 20 | jq -c '.connections[]')"
  done
  equal "the established connections after $1" 4 "$(established)"
}
note "no port is left"
crowd ports-exhausted syn:30080 40
note "the table is full: of connections, of datagrams"
agent_again a "$tight" KILL
crowd connections-full syn:30080 400
crowd connections-full udp:30090 400
note "SYNs at full speed, also for a pod of this node, which takes no ports"
agent_again a "$with_services | .services.max_connections = $(scaled 10000)" KILL
pid=$(lab_agent_pid a)
slices a1 b1
crowd connections-full syn:30080 "$(scaled 300000)"

equal "the agent" "$pid true" "$(lab_agent_pid a) $(kill -0 "$pid" && echo true)"
equal "its problems" '[]' "$(ctl a status | jq -c .problems)"
for family in $both; do
  result=$(lab_finish "beats$family" TERM)
  note "a connection over IPv$family: ${result:=$(cat "$lab/jobs/beats$family.err")}"
  at_least "numbers that came back" 100 "$(jq .beats <<< "$result" || echo 0)"
  result=$(lab_finish "datagrams$family" TERM)
  note "datagrams over IPv$family: $result"
  equal "doubled" 0 "$(jq .duplicates <<< "$result")"
  # A flood may fill the machine's own queues, before any program of ours.
  at_least "lost datagrams over IPv$family, at most those of full queues" "$(jq .lost <<< "$result")" $(($(queued_out) - dropped))
done
