#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The real thing: a cluster of two nodes with their kubelets, driven by kubectl. Nothing is configured on a node but where
# the API server is.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
command -v containerd ctr runc busybox > /dev/null || skip "no containerd, ctr, runc or busybox: dev/setup lab installs them"
pods=${PODS:-10}
open_lab
at_close='clear_cgroups netkite-k8s'
nodes a b control
control_up
controllers_up
node_up a
node_up b
eventually 60 '[ "$(ready_nodes)" = 2 ]' || fail "the nodes are not Ready: $(kubectl get nodes) $(tail -5 "$lab/a/kubelet.log")"
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
reached=$(everybody_reaches "${addresses[@]}") || fail "$reached"
equal "pairs" $((pods * pods * 2)) "$reached"
note "$reached of $reached pings answered"
first=$(list | jq -r '.items[0].metadata.name')
kubectl exec "$first" -- /bin/ping -c 1 -W 2 "$lab_world4" > /dev/null || fail "the outside is not reached"

note "the agents know their pods by name"
equal "names" "$pods" "$(for node in a b; do ctl "$node" endpoints; done | jq -s --arg prefix echo- '[.[] | .endpoints[] |
  select(.pod_namespace == "default" and (.pod_name | startswith($prefix)) and .pod_uid != "")] | length')"

note "a restart of an agent: the pods stay"
lab_agent_stop a KILL
kube_agent a
until_true 20 node_ready a || fail "node a is not ready again"
for address in "${addresses[@]}"; do lab_in b ping -q -c 1 -W 2 "$address" > /dev/null || fail "node b does not reach $address"; done

note "deleted, and nothing is left"
kubectl delete deployment echo > /dev/null
eventually 60 '[ "$(list | jq ".items | length")" = 0 ]' || fail "pods are left: $(kubectl get pods)"
wait_for=10 same_world a "$lab/before"
for node in a b; do lab_end_process "$(cat "$lab/jobs/kubelet-$node.pid")" TERM; rm "$lab/jobs/kubelet-$node.pid"; done
