#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The real thing: a cluster of two nodes with their kubelets, driven by kubectl. Nothing is configured on a node but where
# the API server is.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
pods=${NETKITE_PODS:-10}
two_nodes
kubectl get nodes -o json | jq -r '.items[] | "\(.metadata.name): \(.spec.podCIDRs | join(" "))"'
remember a "$lab/before"

echo_deployment "$pods" | kubectl create -f -
list() { pods_of app=echo; }
eventually 120 '[ "$(ready_pods app=echo)" = "$pods" ]' || fail "$(ready_pods app=echo) of $pods pods are Ready: $(kubectl describe pods | tail -20)"
list | jq -r '.items[] | "\(.metadata.name) on \(.spec.nodeName): \([.status.podIPs[].ip] | join(" "))"'
equal "nodes with pods" 2 "$(list | jq '[.items[].spec.nodeName] | unique | length')"
equal "addresses" $((2 * pods)) "$(list | jq '[.items[].status.podIPs[].ip] | unique | length')"
# The IPv4 podCIDR of each node, without its last part, by the node's name.
prefixes=$(kubectl get nodes -o json | jq '[.items[] | {key: .metadata.name,
  value: (.spec.podCIDRs[] | select(contains(".")) | sub("0/24$"; ""))}] | from_entries')
equal "addresses outside of their node's podCIDR" "" "$(list | jq -r --argjson prefixes "$prefixes" '.items[] |
  $prefixes[.spec.nodeName] as $prefix | .status.podIPs[].ip | select(contains(".")) | select(startswith($prefix) | not)')"

note "every pod reaches every pod, over both families"
mapfile -t addresses < <(list | jq -r '.items[].status.podIPs[].ip')
first=$(list | jq -r '.items[0].metadata.name')
all_reached() {
  local reached
  reached=$(everybody_reaches "${addresses[@]}") || fail "$reached"
  equal "pairs" $((pods * pods * 2)) "$reached"
  note "$reached of $reached pings answered"
  kubectl exec "$first" -- /bin/ping -c 1 -W 2 "$lab_world4" > /dev/null || fail "the outside is not reached"
}
all_reached

note "the agents know their pods by name"
equal "names" "$pods" "$(for node in a b; do ctl "$node" endpoints; done | jq -s --arg prefix echo- '[.[] | .endpoints[] |
  select(.pod_namespace == "default" and (.pod_name | startswith($prefix)) and .pod_uid != "")] | length')"

note "a restart of an agent: the pods stay"
lab_agent_stop a KILL
kube_agent a
until_true 20 node_ready a || fail "node a is not ready again"
for address in "${addresses[@]}"; do lab_in b ping -q -c 1 -W 2 "$address" > /dev/null || fail "node b does not reach $address"; done

note "the same over the overlay, and back: a restart each, and the pods keep their addresses"
routed() {
  local node
  for node in a b; do lab_agent_stop "$node"; kube_agent "$node" "$1"; done
  for node in a b; do until_true 20 node_ready "$node" || fail "node $node is not ready: $(ctl "$node" status | jq -c .problems)"; done
}
to_b() { ip -n "$lab_prefix-a" -j route get "$(list | jq -r '[.items[] | select(.spec.nodeName == "b")][0].status.podIPs[0].ip')" | jq -r '.[0].dev'; }
routed '.routing = "overlay"'
eventually 10 '[ "$(to_b)" = nk-overlay ]' || fail "the route to node b's pods leads over $(to_b)"
all_reached
equal "addresses" "${addresses[*]}" "$(list | jq -r '[.items[].status.podIPs[].ip] | join(" ")')"
routed .
eventually 10 '[ "$(to_b)" = eth0 ]' || fail "the route to node b's pods leads over $(to_b)"

note "deleted, and nothing is left"
kubectl delete deployment echo > /dev/null
eventually 60 '[ "$(list | jq ".items | length")" = 0 ]' || fail "pods are left: $(kubectl get pods)"
wait_for=30 same_world a "$lab/before"
for node in a b; do lab_end_process "$(cat "$lab/jobs/kubelet-$node.pid")" TERM; rm "$lab/jobs/kubelet-$node.pid"; done
