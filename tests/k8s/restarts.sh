#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whatever of a node is started again - kubelet, containerd, the agent amid ADDs and DELs, the whole node: all pods get Ready,
# none is stuck, and API server, agent and ledger agree about every address.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
pods=${NETKITE_PODS:-6} kills=${NETKITE_KILLS:-4}
two_nodes
for node in a b; do remember "$node" "$lab/before-$node"; done

# Addresses of a node's pods, as everyone who should know them says: the API server, the agent, the ledger.
lines() { sed 's,/.*,,' | sort | paste -sd ' '; }
told() { kubectl get pods -A -o json | jq -r --arg node "$1" '.items[] | select(.spec.nodeName == $node) | .status.podIPs[]?.ip' | lines; }
known() { ctl "$1" endpoints | jq -r '.endpoints[].addresses[]' | lines; }
written() { find "$lab/$1/run/endpoints" -name '*.json' -exec tail -qn 1 {} + | jq -r '.addresses[]' | lines; }
agreed() { local told; told=$(told "$1") && [ "$told" = "$(known "$1")" ] && [ "$told" = "$(written "$1")" ]; }
# What the kubelet and containerd of node a said last of pods that are not Ready or do not go.
stuck() {
  local name
  for name in $(pods_of app=echo | jq -r '.items[] | select(.metadata.deletionTimestamp or
    all(.status.conditions[]?; .type != "Ready" or .status != "True")) | .metadata.name'); do
    grep -hF "$name" "$lab"/a/{kubelet,containerd}.log | tail -n 12 || true
  done
}
settled() {
  eventually 120 '[ "$(ready_pods app=echo)" = "$pods" ] && [ "$(pods_of app=echo | jq ".items | length")" = "$pods" ]' ||
    fail "$1: $(kubectl get pods -o wide) $(stuck)"
  for node in a b; do
    eventually 60 'agreed "$node"' || fail "$1: node $node has $(told "$node"), its agent $(known "$node"), its ledger $(written "$node")"
  done
  mapfile -t addresses < <(pods_of app=echo | jq -r '.items[].status.podIPs[].ip')
  equal "$1: addresses, each of them once" "$((2 * pods)) $((2 * pods))" "${#addresses[@]} $(printf '%s\n' "${addresses[@]}" | sort -u | wc -l)"
  local reached
  reached=$(everybody_reaches "${addresses[@]}") || fail "$1: $reached"
  equal "$1: pings answered" $((2 * pods * pods)) "$reached"
  note "$1: $pods pods are Ready and reach each other"
}
# Ready ones: a pod that is deleted in the moment in which it starts may be forgotten by this kubelet, and runs on.
on_a() {
  pods_of app=echo | jq -r '.items[] | select(.spec.nodeName == "a" and (.metadata.deletionTimestamp | not) and
    any(.status.conditions[]?; .type == "Ready" and .status == "True")) | .metadata.name'
}
# Names, addresses and starts of node a's pods, but of the one named.
lives() { pods_of app=echo | jq -c --arg but "$1" '[.items[] | select(.spec.nodeName == "a" and .metadata.name != $but) |
  [.metadata.name, .status.podIPs, .status.containerStatuses[0].restartCount]] | sort'; }
# A pod is deleted while the job is away; the others are to notice nothing. started_again JOB command…
started_again() {
  local job=$1 doomed before after
  shift
  doomed=$(on_a | head -1) before=$(lives "$doomed")
  lab_end_process "$(cat "$lab/jobs/$job-a.pid")" KILL
  kubectl delete pod "$doomed" --wait=false > /dev/null
  "$@"
  settled "$job started again"
  after=$(lives "$doomed")
  equal "pods of before that are as they were" "$before" "$(jq -c --argjson before "$before" '[.[] | select(. as $pod | $before | index([$pod]))]' <<< "$after")"
}

echo_deployment "$pods" | kubectl create -f - > /dev/null
settled start
equal "nodes with pods" 2 "$(pods_of app=echo | jq '[.items[].spec.nodeName] | unique | length')"
kubectl cordon b > /dev/null   # what takes the place of a pod comes to node a
started_again kubelet kubelet_up a
started_again containerd containerd_up a


note "the agent is killed $kills times, at other moments of ADDs and DELs each time"
for ((i = 0; i < kills; i++)); do
  mapfile -t names < <(on_a)
  kubectl delete pod "${names[@]:0:2}" --wait=false > /dev/null
  sleep "$(awk -v i="$i" 'BEGIN { print i * 0.4 }')"
  lab_agent_stop a KILL
  kubectl delete pod "${names[2]}" --wait=false > /dev/null
  kube_agent a
  eventually 90 '[ "$(on_a | wc -l)" -ge 3 ]' || fail "too few pods are Ready on node a: $(kubectl get pods -o wide)"
done
settled "the agent killed"
note "$(kubectl get events -o json | jq '[.items[] | select(.reason == "FailedCreatePodSandBox")] | map(.count) | add // 0') ADDs were tried again"
kubectl uncordon b > /dev/null

note "the node loses its power: what is not on a disk is gone"
containers() { pods_of app=echo | jq -c '[.items[] | select(.spec.nodeName == "a") | .status.containerStatuses[]?.containerID] | sort'; }
# The node's processes, those of its pods, their namespaces, the node's own, pins and /run.
power_off() {
  local node=$1 space job process
  space=$(readlink "/proc/$(cat "$lab/jobs/space-$node.pid")/ns/mnt")
  for process in /proc/[0-9]*; do
    [ "$(readlink "$process/ns/mnt")" != "$space" ] || kill -KILL "${process#/proc/}" 2> /dev/null || true
  done
  clear_cgroups "netkite-k8s-$node"
  for job in kubelet containerd agent space; do
    lab_end_process "$(cat "$lab/jobs/$job-$node.pid")" KILL
    rm "$lab/jobs/$job-$node.pid"
  done
  rm -rf "$lab/$node/run" "$lab/$node/containerd-state" "$lab/$node/containerd.sock" "$lab/$node/space" "$lab/bpf/$node"
  ip -n "$lab_prefix-switch" link delete "to-$node"
  ip netns delete "$lab_prefix-$node"
}
# As lab_nodes makes it.
plug_in() {
  local node=$1
  lab_namespace "$node"
  ip -n "$lab_prefix-$node" link add eth0 type veth peer name "to-$node" netns "$lab_prefix-switch"
  ip -n "$lab_prefix-switch" link set "to-$node" master bridge up
  lab_uplink "$node" eth0 "${lab_number[$node]}"
  ip -n "$lab_prefix-$node" route add default via 192.0.2.254
  ip -n "$lab_prefix-$node" route add default via 2001:db8::254
}
before=$(containers)
power_off a
plug_in a
node_up a
eventually 120 '[ "$(containers | jq --argjson before "$before" "length > 0 and (. - \$before | length) == length")" = true ]' ||
  fail "pods of before: $(kubectl get pods -o wide) $(tail -5 "$lab/a/kubelet.log")"
settled "the node started again"

note "deleted, and nothing is left"
kubectl delete deployment echo > /dev/null
eventually 60 '[ "$(pods_of app=echo | jq ".items | length")" = 0 ]' || fail "pods are left: $(kubectl get pods)"
for node in a b; do
  wait_for=30 same_world "$node" "$lab/before-$node"
  equal "namespaces on node $node" "" "$(on "$node" ls /run/netns)"
  lab_end_process "$(cat "$lab/jobs/kubelet-$node.pid")" TERM
  rm "$lab/jobs/kubelet-$node.pid"
done
