#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Agents that know nothing but the API server: pools and peers are what the Node objects say, live, and stay while the
# server is away.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
open_lab
nodes a b control
route_to() { ip -n "$lab_prefix-$1" route show "$2"; }
problems() { ctl "$1" status | jq -r '.problems[]'; }
says() { [[ $(problems "$1") = *"$2"* ]]; }

note "before there is a server: try again, and why"
mkdir -p "$lab/kube"
kube_agent a
until_true 5 says a 'kubernetes:' || fail "nothing is said of the missing kubeconfig: $(problems a)"
if node_ready a; then fail "STATUS is ready without a pool"; fi
contains "/healthz" ' 200 ' "$(page a /healthz)"
contains "/readyz" 'podCIDRs are not known yet' "$(page a /readyz)"
lab_namespace a1
refused 11 'podCIDRs are not known yet' ADD a a1
control_up
until_true 40 says a 'the cluster has no node "a"' || fail "the agent does not see the cluster: $(problems a)"
refused 11 'the cluster has no node "a"' ADD a a1
ip netns delete "$lab_prefix-a1"

note "nodes come"
kube_agent b
node_object a 1 '["fd77:1::/64", "10.77.1.0/24"]' | kubectl create -f - > /dev/null
node_object b 2 '["10.77.2.0/24", "fd77:2::/64"]' | kubectl create -f - > /dev/null
for node in a b; do until_true 20 node_ready "$node" || fail "node $node is not ready: $(problems "$node")"; done
lab_pod a a1
lab_pod b b1
equal "the addresses of a1" 'fd77:1::1/64 10.77.1.1/24' "$(jq -r '[.ips[].address] | join(" ")' "$lab/pods/a1.json" | sed 's,/128,/64,; s,/32,/24,')"
works a1 b1
works b1 a1
works a1 world 4
# The API server may have begun before it knew the agent's rights.
eventually 30 '[ -z "$(problems a)" ]' || fail "a complaint stays: $(problems a)"
contains "/readyz" ' 200 ' "$(page a /readyz)"
contains "/metrics" $'\nnetkite_peers 1\n' "$(page a /metrics)"
contains "/metrics" 'netkite_pool_addresses_taken{pool="10.77.1.0/24"} 1' "$(page a /metrics)"
contains "/metrics" 'netkite_call_duration_seconds_count{call="ADD"} 1' "$(page a /metrics)"

note "another node comes, moves and goes"
node_object c 9 '["10.77.9.0/24"]' '["192.0.2.9"]' | kubectl create -f - > /dev/null
eventually 5 '[[ $(route_to a 10.77.9.0/24) = *"via 192.0.2.9 "* ]]' || fail "no route to node c: $(route_to a 10.77.9.0/24)"
kubectl get node c -o json | jq '.status.addresses[0].address = "192.0.2.8"' | kubectl replace --raw /api/v1/nodes/c/status -f - > /dev/null
eventually 5 '[[ $(route_to a 10.77.9.0/24) = *"via 192.0.2.8 "* ]]' || fail "node c has moved: $(route_to a 10.77.9.0/24)"
kubectl delete node c > /dev/null
eventually 5 '[ -z "$(route_to a 10.77.9.0/24)" ]' || fail "node c is gone: $(route_to a 10.77.9.0/24)"

note "nodes that make no sense harm nobody"
node_object d 10 '["10.77.2.0/25"]' '["192.0.2.10"]' | kubectl create -f - > /dev/null
until_true 5 says a 'node d: podCIDRs: 10.77.2.0/25 overlaps 10.77.2.0/24' || fail "an overlap is not named: $(problems a)"
works a1 b1
kubectl delete node d > /dev/null
eventually 5 '[ -z "$(problems a)" ]' || fail "still: $(problems a)"

note "the server goes: what is known stays, also across a restart"
api_down
works a1 b1
lab_agent_stop a KILL
kube_agent a
until_true 20 node_ready a || fail "node a is not ready without the server: $(problems a)"
until_true 20 says a 'kubernetes: ' || fail "the missing server is not named"
works a1 b1
lab_pod a a2
works a2 b1
lab_unpod a a2

note "the server comes back, and what has changed meanwhile is seen"
api_up
eventually 40 '[ -z "$(problems a)" ]' || fail "the server is back: $(problems a)"
node_object c 9 '["10.77.9.0/24"]' '["192.0.2.9"]' | kubectl create -f - > /dev/null
eventually 5 '[ -n "$(route_to a 10.77.9.0/24)" ]' || fail "no route to node c"
lab_agent_stop a
kubectl delete node c > /dev/null
kube_agent a
eventually 10 '[ -z "$(route_to a 10.77.9.0/24)" ]' || fail "node c has gone while the agent was away"

note "other podCIDRs: no new pod until the old ones have gone"
kubectl delete node a > /dev/null
until_true 10 says a 'stay in use' || fail "the missing node is not named: $(problems a)"
node_object a 1 '["10.77.3.0/24"]' | kubectl create -f - > /dev/null
until_true 10 says a 'have become 10.77.3.0/24' || fail "the change is not named: $(problems a)"
if node_ready a; then fail "STATUS is ready while a pool is to go"; fi
lab_namespace a2
refused 11 'have become 10.77.3.0/24' ADD a a2
ip netns delete "$lab_prefix-a2"
works a1 a 4
lab_unpod a a1
until_true 20 node_ready a || fail "the last pod of the old pool is gone: $(problems a)"
lab_pod a a3
contains "the address of a3" 10.77.3. "$(lab_ip a3 4)"
works a3 b1 4

note "rights: without one the trouble is named"
kubectl delete clusterrolebinding netkite-agent > /dev/null
lab_agent_stop a
kube_agent a
until_true 20 says a 'nodes is forbidden: User' || fail "a missing right is not named: $(problems a)"
works a3 b1 4
