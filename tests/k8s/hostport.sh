#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Host ports of a real cluster without kube-proxy and portmap: a Deployment's pods are asked for at their nodes, from
# outside, from pods and from the nodes, until it has no such ports any more.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
[ -n "$(group_of a)" ] || skip "no version 2 hierarchy of control groups: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
two_nodes '.services = {enabled: true, host_ports: true, cgroup: ("'"$(group_of '')"'" + .node_name)}'
for node in a b; do
  # containerd reads it again when a file of the folder is renamed.
  jq '.cniVersion = "1.0.0" | .plugins[0].capabilities = {portMappings: true}' "$lab/$node/net.conflist" > "$lab/$node/net.d/new"
  mv "$lab/$node/net.d/new" "$lab/$node/net.d/10-netkite.conflist"
done
pod() {
  kubectl create -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: single}}
spec: {nodeName: $2, terminationGracePeriodSeconds: 1, automountServiceAccountToken: false${3:+, $3},
  containers: [{name: main, image: '$image', imagePullPolicy: Never}]}
YAML
}
pod on-a a
pod host-a a 'hostNetwork: true'
with_port() { echo_deployment 2 | sed 's/echo ok >/hostname >/' | kubectl create --dry-run=client -o json -f - | jq --argjson ports "$1" '.spec.template.spec.containers[0].ports = $ports'; }
with_port '[{"containerPort": 8080, "hostPort": 8088}]' | kubectl create -f -
eventually 120 '[ "$(ready_pods app=echo) $(ready_pods app=single)" = "2 2" ]' ||
  fail "pods are not Ready: $(kubectl get pods -o wide; kubectl describe pods | tail -20)"
equal "the port of node a's pod" '["8088:8080/tcp"]' "$(ctl a endpoints | jq -c '.endpoints[].host_ports | select(. != [])')"
there() { pods_of app=echo | jq -r --arg node "$1" '.items[] | select(.spec.nodeName == $node and .metadata.deletionTimestamp == null) | .metadata.name'; }
url() { [[ $1 = *:* ]] && echo "http://[$1]:8088/" || echo "http://$1:8088/"; }
from_world() { lab_in world timeout $((3 * slow)) busybox wget -q -O - "$1" 2>&1; }
from_pod() { kubectl exec "$1" -- /bin/sh -c 'timeout "$2" wget -q -O - "$1" 2>&1; true' _ "$2" $((3 * slow)); }

note "each pod at its node, over both families"
for family in $both; do
  for node in a b; do equal "from outside" "$(there $node)" "$(from_world "$(url "$(lab_ip $node $family)")")"; done
  for who in on-a host-a; do
    for node in a b; do equal "from $who at $node" "$(there $node)" "$(from_pod $who "$(url "$(lab_ip $node $family)")")"; done
  done
done
equal "listed" "default/$(there a) HostPort" "$(ctl a services | jq -r '[.services[] | select(.port == 8088) | "\(.service) \(.type)"] | unique | join(" ")')"

note "a new pod in the place of an old one"
former=$(there a)
kubectl delete pod "$former" --wait=false > /dev/null
moved() { [[ $(there a) != "" && $(there a) != "$former" && $(from_world "$(url "$(lab_ip a 4)")") = "$(there a)" ]]; }
until_true 60 moved || fail "node a answers '$(from_world "$(url "$(lab_ip a 4)")")', its pod is $(there a)"

note "without the port"
with_port '[]' | kubectl replace -f - > /dev/null
closed() { [[ $(from_world "$(url "$(lab_ip "$1" 4)")") = *refused* ]]; }
for node in a b; do until_true 60 closed $node || fail "node $node still answers: $(from_world "$(url "$(lab_ip $node 4)")")"; done
for node in a b; do equal "problems of node $node" "" "$(ctl $node status | jq -r '.problems | join("; ")')"; done
