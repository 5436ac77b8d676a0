#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The chart: the manifests are made of it, its values reach the agents, and it takes Netkite off the nodes again.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
. "$(dirname "$0")/daemonset.bash"
"$root/dev/manifests" --check || fail "install.yaml or uninstall.yaml is not what the chart says"
lacks "the conflist where Netkite serves host ports" portmap "$("$root/dev/manifests" --print 'config.services={enabled: true, host_ports: true}')"
with_flow() { "${CC:-cc}" -O1 -static -o "$1/bin/flow" "$root/tests/k8s/flow.c"; }
image_more=with_flow
bare_cluster
for node in a b; do node_world "$node" | sort > "$lab/before-$node"; done
chart() {
  apply_chart "$@"
  rolled_out || fail "the DaemonSet does not get ready: $(why_not)"
}
apply_chart() {
  "$root/dev/manifests" --print "config.kubernetes.server=https://$(lab_ip control 4):6443" config.routing=overlay \
    config.http_port=9999 "$@" | kubectl apply -f - || fail "the chart is refused"
}

chart
eventually 60 '[ "$(ready_nodes)" = 2 ]' || fail "the nodes are not Ready: $(kubectl get nodes)"
equal "routing" overlay "$(netkite_on a status | jq -r .routing)"
echo_deployment 2 | kubectl create -f - > /dev/null
eventually 60 '[ "$(ready_pods app=echo)" = 2 ]' || fail "pods are not Ready: $(kubectl describe pods | tail -20)"

note "an upgrade by other values"
chart config.routing=native resources='{limits: {memory: 200Mi}}'
equal "routing" native "$(netkite_on a status | jq -r .routing)"
equal "the agents' limit" 200Mi "$(in_system get daemonset netkite -o json | jq -r '.spec.template.spec.containers[0].resources.limits.memory')"

note "services: the rights for them, and the host's control groups"
rules() { kubectl get clusterrole netkite-agent -o json | jq -r '[.rules[].resources[]] | join(" ")'; }
lacks "rights without services" services "$(rules)"
# The nodes of this laboratory share a root of control groups, so one of them has an agent, for the group of its pods.
group=$(group_of a)
chart "config.services={enabled: true, cgroup: /host$group}" "nodeSelector={kubernetes.io/hostname: a}"
contains "rights with services" "services endpointslices" "$(rules)"
eventually 60 '[ "$(in_system get pods -l app.kubernetes.io/name=netkite -o name | wc -l)" = 1 ]' || fail "node b keeps its agent"
served() { [ "$(netkite_on a services 2> /dev/null | jq -r '[.services[].service] | join(" ")')" = default/kubernetes ]; }
until_true 20 served || fail "no services: $(netkite_on a status | jq -c .problems)"
equal "problems" "[]" "$(netkite_on a status | jq -c .problems)"
equal "programs at the socket" 8 "$(on a find /sys/fs/bpf/netkite -path '*sockets/*' -type f | wc -l)"
# As the agent searches when no group is named.
equal "the root of the hierarchy, seen from the agent" "/host${group%/*}" "$(in_system exec \
  "$(in_system get pods -l app.kubernetes.io/name=netkite -o name)" -c agent -- /bin/sh -c 'while read -r line; do
    case $line in *" - cgroup2 "*) set -- $line; [ -e "$5/cgroup.type" ] || echo "$5" ;; esac; done < /proc/self/mountinfo')"

note "a pod's connected UDP socket, whose backend goes: the agent gets into the pod's network namespace"
kubectl create service clusterip flow --tcp 53 --dry-run=client -o json | jq '.spec.ports[0].protocol = "UDP" | .spec.selector = null' | kubectl create -f -
kubectl create -f - <<YAML
apiVersion: v1
kind: Endpoints
metadata: {name: flow}
subsets: [{addresses: [{ip: $(lab_ip control 4)}], ports: [{name: '53', protocol: UDP, port: 9}]}]
YAML
flows() { netkite_on a services | jq -c '[.services[] | select(.service == "default/flow") | .backends_total]'; }
until_true 20 eval '[ "$(flows)" = "[1]" ]' || fail "no service: $(netkite_on a services)"
kubectl create -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: flow, labels: {app: flow}}
spec: {nodeName: a, terminationGracePeriodSeconds: 1, automountServiceAccountToken: false,
  containers: [{name: main, image: '$image', imagePullPolicy: Never, command: [/bin/flow, $(kubectl get service flow -o json | jq .spec.clusterIP), '53']}]}
YAML
eventually 60 '[ "$(kubectl logs flow)" = connected ]' || fail "the pod does not connect: $(kubectl describe pod flow | tail -5)"
kubectl delete endpoints flow
eventually 20 '[ "$(kubectl logs flow | tail -n 1)" = "Software caused connection abort" ]' ||
  fail "the socket is left alone: $(kubectl logs flow; netkite_on a status | jq -c .problems)"
equal "problems" "[]" "$(netkite_on a status | jq -c .problems)"
kubectl delete pod flow --wait=false
kubectl delete service flow

note "taken off the nodes, and out of the cluster"
delete_echo
apply_chart uninstall=true
withdrawn
for node in a b; do
  eventually 10 'cmp -s "$lab/before-$node" <(node_world "$node" | sort)' || true
  diff "$lab/before-$node" <(node_world "$node" | sort) || fail "something is left on node $node (above: < before, > now)"
done
