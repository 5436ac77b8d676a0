#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Services at the socket: pods and their node ask for a service's address and get one of its backends, by streams and
# datagrams of both families, while backends and agents come and go.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
services_lab
agent a "$with_services"
agent b
lab_pod a a1
lab_pod a a2
lab_pod b b1
for pod in a2 b1; do lab_start "serve-$pod" "$pod" nk-socket serve 8080 "$pod"; done

# service NAME ADDRESS4 ADDRESS6 [JQ-FILTER]; slices NAME [POD…]: its endpoints
service() {
  jq -n --arg name "$1" --arg v4 "$2" --arg v6 "$3" '{apiVersion: "v1", kind: "Service", metadata: {$name}, spec: {
    clusterIP: $v4, clusterIPs: [$v4, $v6], ipFamilies: ["IPv4", "IPv6"], ports: [
      {name: "web", protocol: "TCP", port: 80, targetPort: 8080}, {name: "dns", protocol: "UDP", port: 53, targetPort: 8080}]}}' |
    jq "${4:-.}" | put "service-$1.json"
}
slices() { put_slices "$1" '[{"name": "web", "protocol": "TCP", "port": 8080}, {"name": "dns", "protocol": "UDP", "port": 8080}]' "${@:2}"; }
# In the control group: talk NAME HOW[ 6] ADDRESS PORT [COUNT]
in_group() { bash -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group" "$@"; }
talk() {
  local name=$1 how=$2 i
  for ((i = 0; i < ${5:-1}; i++)); do echo "$3 $4"; done | in_group nsenter --net="$(lab_path "$name")" nk-socket talk $how
}
listed() { ctl a services | jq -r --arg name "default/$1" '.services[] | select(.service == $name) | "\(.type) \(.address) \(.port)"'; }
entries() { ctl a status | jq -c '[.maps[] | select(.name | test("^nk_(backend|frontend|slot)_")) | .entries]'; }
in_force() { eventually 5 "[ \"\$(ctl a services | jq -c '[.services[] | select(.service == \"default/$1\" and .held) | .backends_total] | unique')\" = '$2' ]"; }
cluster4=10.96.0.10 cluster6=fd96::10
service web "$cluster4" "$cluster6"
slices web a2 b1
in_force web '[2]' || fail "the service is not in force: $(ctl a services) $(ctl a status | jq -c .problems)"
equal "backends, frontends and slots" '[8,4,8]' "$(entries)"

note "from a pod and from the node, over both families: one of the backends, under the service's address"
for who in a1 a; do
  for address in "$cluster4" "$cluster6"; do
    answers=$(talk "$who" tcp "$address" 80 30)
    equal "backends of TCP from $who to $address" "a2 b1" "$(names <<< "$answers")"
    equal "peers" "from $address 80" "$(cut -d ' ' -f 2- <<< "$answers" | sort -u)"
    equal "the one of a connected UDP socket" "from $address 53" "$(talk "$who" connected "$address" 53 | cut -d ' ' -f 2-)"
    answers=$(talk "$who" udp "$address" 53 10)
    equal "one backend for all datagrams of a socket: $answers" 1 "$(sort -u <<< "$answers" | wc -l)"
    equal "the sender" "from $address 53" "$(cut -d ' ' -f 2- <<< "$answers" | sort -u)"
  done
done
equal "an IPv6 socket that speaks IPv4" "from ::ffff:$cluster4 80" "$(talk a1 'tcp 6' "::ffff:$cluster4" 80 | cut -d ' ' -f 2-)"
equal "the same by datagrams" "from ::ffff:$cluster4 53" "$(talk a1 'udp 6' "::ffff:$cluster4" 53 | cut -d ' ' -f 2-)"
equal "connections that take a translation of packets" 0 "$(ctl a nat | jq '.connections | length')"
equal "a process outside of the control group" "from $cluster4 80" "$(echo "$cluster4 80" | lab_in a1 nk-socket talk tcp | cut -d ' ' -f 2-)"
equal "connections that take one" 1 "$(ctl a nat | jq '.connections | length')"

note "a backend goes: nobody gets it any more, and a socket's datagrams move"
mkfifo "$lab/questions"
in_group nsenter --net="$(lab_path a1)" nk-socket talk udp < "$lab/questions" > "$lab/answers" &
echo $! > "$lab/jobs/talk.pid"
exec {questions}> "$lab/questions"
say() { echo "$cluster4 53" >&"$questions"; eventually 5 '[ "$(wc -l < "$lab/answers")" = '"$1"' ]' || fail "no answer: $(cat "$lab/answers")"; }
say 1
first=$(names < "$lab/answers")
[ "$first" = a2 ] && other=b1 || other=a2
slices web "$other"
in_force web '[1]' || fail "the backend stays: $(ctl a services)"
say 2
equal "who answers the same socket" "$other from $cluster4 53" "$(tail -n 1 "$lab/answers")"
equal "backends" "$other" "$(talk a1 tcp "$cluster4" 80 10 | names)"
slices web a2 b1
in_force web '[2]' || fail "$(ctl a services)"
say 3
equal "who answers it when the first is back" "$other from $cluster4 53" "$(tail -n 1 "$lab/answers")"
exec {questions}>&-

note "the agent is killed: services go on, and the next one changes nothing"
before=$(entries)
links() { find "$lab/bpf/a/sockets" -type f -printf '%f %i\n' 2> /dev/null | sort; }
linked=$(links)
equal "programs at the socket" 8 "$(wc -l <<< "$linked")"
lab_agent_stop a KILL
equal "backends without an agent" "a2 b1" "$(talk a1 tcp "$cluster4" 80 30 | names)"
agent a "$with_services"
in_force web '[2]' || fail "$(ctl a services)"
equal "entries" "$before" "$(entries)"
equal "links" "$linked" "$(links)"
equal "backends" "a2 b1" "$(talk a1 tcp "$cluster6" 80 30 | names)"
rm "$lab/bpf/a/sockets/connect4"
agent_again a "$with_services"
equal "a lost pin, found again" "$(cut -d ' ' -f 1 <<< "$linked")" "$(links | cut -d ' ' -f 1)"
equal "answers from one program each" "a2 b1" "$(talk a1 tcp "$cluster4" 80 30 | names)"

note "nobody serves: refused at once"
slices web
in_force web '[0]' || fail "$(ctl a services)"
for how in tcp connected udp; do
  equal "$how" "error: Connection refused" "$(talk a1 $how "$cluster4" "$([ $how = tcp ] && echo 80 || echo 53)")"
done
slices web a2 b1

note "NodePort, external address, load balancer"
service web "$cluster4" "$cluster6" '.spec.type = "LoadBalancer" | .spec.ports[0].nodePort = 30080 |
  .spec.externalIPs = ["203.0.113.7"] | .status.loadBalancer.ingress = [{ip: "203.0.113.8"}]'
eventually 5 '[ -n "$(listed web | grep LoadBalancer)" ]' || fail "$(listed web)"
for address in "$(lab_ip a 4) 30080" "$(lab_ip a 6) 30080" "203.0.113.7 80" "203.0.113.8 80"; do
  for who in a1 a; do
    equal "from $who to $address" "a2 b1" "$(talk "$who" tcp ${address% *} ${address#* } 30 | names)"
  done
done
service web "$cluster4" "$cluster6"

note "session affinity: a pod keeps its backend, for the time that was asked for"
service web "$cluster4" "$cluster6" '.spec.sessionAffinity = "ClientIP" | .spec.sessionAffinityConfig.clientIP.timeoutSeconds = 1'
eventually 5 '[ "$(talk a1 tcp "$cluster4" 80 12 | names | wc -w)" = 1 ]' || fail "a pod's connections lead to several backends"
changed() { sleep 1.1; [ "$(talk a1 tcp "$cluster4" 80 | names)" != "$kept" ]; }
kept=$(talk a1 tcp "$cluster4" 80 | names)
until_true 60 changed || fail "after its time the backend never changes"

note "two services want one address, and an endpoint that makes no sense: said, and harmless"
service rival "$cluster4" fd96::11
slices rival a2
printf 'apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: bad, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nendpoints: [{addresses: [127.0.0.1]}]\n' | put bad.yaml
problems() { ctl a status | jq -r '.problems | join("; ")'; }
eventually 15 '[[ $(problems) = *"$cluster4:80/TCP"* ]] && [[ $(problems) = *127.0.0.1* ]]' || fail "expected complaints: $(problems)"
rm "$manifests/bad.yaml" "$manifests"/*-rival*
eventually 15 '[ -z "$(problems)" ]' || fail "still: $(problems)"

note "the service goes, and everything that it had"
rm "$manifests"/*-web*
eventually 5 '[ "$(entries)" = "[0,0,0]" ]' || fail "left: $(entries)"
contains "its address" error: "$(talk a1 tcp "$cluster4" 80)"

note "switched off: no program is left at a socket"
service web "$cluster4" "$cluster6"
slices web a2 b1
in_force web '[2]' || fail "$(ctl a services)"
agent_again a "$with_services | .services.enabled = false"
equal "pins" "" "$(find "$lab/bpf/a" -path '*sockets/*' -o -name 'nk_frontend*' -o -name 'nk_socket*')"
contains "its address" error: "$(talk a1 tcp "$cluster4" 80)"
contains "the list" "services.enabled" "$(ctl a services 2>&1 || true)"
agent_again a "$with_services | .services.cgroup = \"$lab\""
eventually 15 '[[ $(problems) = *"services.cgroup: $lab is no control group"* ]]' || fail "expected a complaint: $(problems)"
works a1 b1
