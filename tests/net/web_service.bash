# SPDX-License-Identifier: Apache-2.0
# A Service that the world asks for at node a: NodePorts, a load balancer's and an external address, TCP and UDP. Source
# it in a lab with services, when node a is there.
balancer=203.0.113.8 external=203.0.113.7
for address in $balancer $external; do ip -n "$lab_prefix-world" route add "$address" via "$(lab_ip a 4)"; done
# What nodes see of the world on their link.
declare -A client=([4]=192.0.2.254 [6]=2001:db8::254)
# Enough that none of three backends is missed by chance.
draws=40

# serve_pods POD…: each answers with its name at 8080, by TCP and UDP
serve_pods() {
  local pod
  for pod in "$@"; do
    lab_start "serve-$pod" "$pod" nk-socket serve 8080 "$pod"
    lab_start "probe-$pod" "$pod" nk-probe serve --tcp 5000
  done
}
# service [JQ-FILTER]; slices [POD…]: its endpoints
service() {
  jq -n '{apiVersion: "v1", kind: "Service", metadata: {name: "web"}, spec: {type: "LoadBalancer",
    clusterIP: "10.96.0.10", clusterIPs: ["10.96.0.10", "fd96::10"], ipFamilies: ["IPv4", "IPv6"],
    externalIPs: ["'$external'"], ports: [
      {name: "web", protocol: "TCP", port: 80, targetPort: 8080, nodePort: 30080},
      {name: "dns", protocol: "UDP", port: 53, targetPort: 8080, nodePort: 30053},
      {name: "probe", protocol: "TCP", port: 81, targetPort: 5000, nodePort: 30081}]},
    status: {loadBalancer: {ingress: [{ip: "'$balancer'"}]}}}' | jq "${1:-.}" | put service.json
}
slices() { put_slices web '[{"name": "web", "protocol": "TCP", "port": 8080}, {"name": "dns", "protocol": "UDP", "port": 8080}, {"name": "probe", "protocol": "TCP", "port": 5000}]' "$@"; }
serving() { [ "$(talk tcp "$(lab_ip a 4)" 30080 $draws | names)" = "$1" ] && [ "$(talk connected "$(lab_ip a 6)" 30053 $draws | names)" = "$1" ]; }
in_force() { until_true 5 serving "$1" || fail "expected answers of '$1', got: $(talk tcp "$(lab_ip a 4)" 30080 10 | names) $(ctl a status | jq -c .problems)"; }
# asked_everywhere NAMES: all of these backends, under each address that is asked
asked_everywhere() {
  local address answers
  for address in "$(lab_ip a 4)" "$(lab_ip a 6)"; do
    answers=$(talk tcp "$address" 30080 $draws)
    equal "backends of TCP" "$1" "$(names <<< "$answers")"
    equal "who answered" "from $address 30080" "$(cut -d ' ' -f 2- <<< "$answers" | sort -u)"
    answers=$(talk connected "$address" 30053 $draws)
    equal "backends of UDP" "$1" "$(names <<< "$answers")"
    equal "who answered" "from $address 30053" "$(cut -d ' ' -f 2- <<< "$answers" | sort -u)"
    answers=$(talk udp "$address" 30053 10)
    equal "one backend for a flow of datagrams: $answers" 1 "$(sort -u <<< "$answers" | wc -l)"
  done
  for address in $balancer $external; do
    equal "TCP at $address" "$1" "$(talk tcp "$address" 80 $draws | names)"
    equal "UDP at $address" "$1" "$(talk connected "$address" 53 $draws | names)"
  done
}
