#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Backends come and go, a service is made anew, the agent is killed, while pods and the world ask without a break: nobody
# is answered by a backend that was not in the set at that time, nobody is refused while there is one, and connections
# that are established stay.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
services_lab
agent a "$with_services"
agent b
lab_pod a a1
lab_pod a a2
lab_pod b b1
lab_pod b b2
for pod in a2 b1 b2; do
  lab_start "serve-$pod" "$pod" nk-socket serve 8080 "$pod"
  lab_start "long-$pod" "$pod" nk-probe serve --tcp 5000
done

cluster4=10.96.0.10 cluster6=fd96::10
service() {
  jq -n --arg v4 "$cluster4" --arg v6 "$cluster6" '{apiVersion: "v1", kind: "Service", metadata: {name: "web"}, spec: {type: "NodePort",
    clusterIP: $v4, clusterIPs: [$v4, $v6], ipFamilies: ["IPv4", "IPv6"], ports: [
      {name: "web", protocol: "TCP", port: 80, targetPort: 8080, nodePort: 30080},
      {name: "dns", protocol: "UDP", port: 53, targetPort: 8080, nodePort: 30053},
      {name: "long", protocol: "TCP", port: 81, targetPort: 5000, nodePort: 30081}]}}' | put service.json
}
# slices POD…: who serves
slices() { put_slices web '[{"name": "web", "protocol": "TCP", "port": 8080}, {"name": "dns", "protocol": "UDP", "port": 8080}, {"name": "long", "protocol": "TCP", "port": 5000}]' "$@"; }
# What the agent has put in force, a line for each different set of addresses; and what it should be: in_force POD…
held() { ctl a services | jq -r '.services[] | select(.held) | [.backends[].address] | sort | join(" ")' | sort -u; }
in_force() {
  local family pod wanted
  wanted=$(for family in $both; do for pod in "$@"; do lab_ip "$pod" "$family"; done | LC_ALL=C sort | paste -sd ' '; done | sort)
  eventually 10 '[ "$(held)" = "$wanted" ]' || fail "expected '$wanted', the agent has: $(held) $(ctl a status | jq -c .problems)"
}

# job NAME FROM command…: a pod's is one of the node's, the world's is not
job() {
  local name=$1 from=$2
  shift 2
  bash -c '[ "$1" = world ] || echo $$ > "$0/cgroup.procs"; exec nsenter --net="$2" "${@:3}"' "$group" "$from" "$(lab_path "$from")" "$@" \
    > "$lab/jobs/$name.out" 2> "$lab/jobs/$name.err" < "${questions:-/dev/null}" &
  echo $! > "$lab/jobs/$name.pid"
}
# Who asks, without a break: each a socket of its own, but for the flows, which are of one.
clients=()
ask() {
  local name=$1 from=$2 how=$3 address=$4 port=$5 questions
  clients+=("$name")
  questions=$lab/jobs/$name.in
  mkfifo "$questions"
  yes "$address $port" > "$questions" 2> /dev/null &
  job "$name" "$from" nk-socket talk "$how" --pause $((5 * slow)) --patience 5000
}
lines() { wc -l < "$lab/jobs/$1.out"; }
# answers NAME FROM TO SET: of these lines
answers() {
  local wrong
  wrong=$(awk -v from="$2" -v to="$3" -v set=" $4 " 'NR >= from && NR <= to { name = $1; sub(":$", "", name)
    if (!index(set, " " name " ")) print NR ": " $0 }' "$lab/jobs/$1.out")
  [ -z "$wrong" ] || fail "$1, of its answers $2 to $3 these are of nobody among '$4': $(head -n 5 <<< "$wrong")"
}
# The set is in force: for a while nobody else answers anybody, and on the way there it was one of $between.
declare -A before=()
asked_on() { [ "$(lines "$1")" -ge "$2" ]; }
steady() {
  local name first
  declare -A begin=()
  for name in "${clients[@]}"; do begin[$name]=$(lines "$name"); done
  for name in "${clients[@]}"; do
    # The first one may have been asked before.
    first=$((begin[$name] + 1))
    until_true 30 asked_on "$name" $((first + 10)) || fail "$name has got no answer for long: $(tail -n 2 "$lab/jobs/$name.out")"
  done
  for name in "${clients[@]}"; do
    first=$((begin[$name] + 1))
    answers "$name" $((${before[$name]:-0} + 1)) "$first" "$between"
    before[$name]=$(lines "$name")
    answers "$name" $((first + 1)) "${before[$name]}" "$*"
  done
}
service
slices a2 b1
in_force a2 b1
ask pod4 a1 tcp "$cluster4" 80
ask pod6 a1 connected "$cluster6" 53
ask podflow6 a1 udp "$cluster6" 53
ask out4 world tcp "$(lab_ip a 4)" 30080
ask out6 world tcp "$(lab_ip a 6)" 30080
ask flow4 world udp "$(lab_ip a 4)" 30053
# Four connections each that stay, so that hardly ever all of them lead to one backend.
beats=()
for i in 1 2 3 4; do
  for beat in "out4 world $(lab_ip a 4) 30081" "out6 world $(lab_ip a 6) 30081" "pod4 a1 $cluster4 81"; do
    read -r name from address port <<< "$beat"
    job "beat-$name-$i" "$from" nk-probe beat "$address" "$port" --rate 20 --seconds 1000 --timeout 20
    beats+=("beat-$name-$i")
  done
done
between="a2 b1"
steady a2 b1

note "a backend goes, another one comes"
slices b1
in_force b1
steady b1
between="b1 b2"
slices b1 b2
in_force b1 b2
steady b1 b2

note "the agent is killed, and the next one changes nothing"
lab_agent_stop a KILL
steady b1 b2
agent a "$with_services"
in_force b1 b2
steady b1 b2

note "killed and started at once, and the set is another one by then"
between="b1 b2 a2"
lab_agent_stop a KILL
slices b2 a2
agent a "$with_services"
in_force b2 a2
steady b2 a2

note "killed in the middle of changes"
for set in "b1 b2" "a2 b2" "a2 b1"; do
  slices $set
  agent_again a "$with_services" KILL
done
in_force a2 b1
steady a2 b1

note "the service goes, and comes back with other backends"
between="a2 b1 b2 error"
rm "$manifests"/service.json "$manifests"/slice-*
in_force
slices b2
service
in_force b2
steady b2
between="b2"
steady b2

for name in "${clients[@]}"; do
  lab_finish "$name" TERM > /dev/null
  note "$name: $(lines "$name") answers: $(cut -d ' ' -f 1 "$lab/jobs/$name.out" | sort | uniq -c | awk '{ print $1, $2 }' | paste -sd ' ')"
done
note "connections that were established before all of this"
for name in "${beats[@]}"; do
  result=$(lab_finish "$name" TERM)
  at_least "numbers that came back to $name: ${result:=$(cat "$lab/jobs/$name.err")}" 50 "$(jq .beats <<< "$result" || echo 0)"
done
