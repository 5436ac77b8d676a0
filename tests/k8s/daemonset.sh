#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two bare nodes, install.yaml and kubectl: Netkite comes from its own image as a DaemonSet, twenty pods reach each other
# and the nodes, and uninstalling leaves the nodes as they were.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
. "$(dirname "$0")/daemonset.bash"
pods=${NETKITE_PODS:-20}
bare_cluster
for node in a b; do node_world "$node" | sort > "$lab/before-$node"; done

note "installed"
install_netkite
in_system get pods -l app.kubernetes.io/name=netkite -o wide
equal "privileged containers" 0 "$(in_system get daemonset netkite -o json | jq '[.. | objects | select(.privileged? == true)] | length')"
equal "restarts" 0 "$(in_system get pods -l app.kubernetes.io/name=netkite -o json | jq '[.items[].status.containerStatuses[].restartCount] | add')"
equal "problems" "" "$(for node in a b; do netkite_on "$node" status | jq -r '.problems[]'; done)"
equal "the switch for grace periods" idle "$(netkite_on a status | jq -r .rcu_expedite)"

note "$pods pods"
echo_deployment "$pods" | kubectl create -f - > /dev/null
eventually 150 '[ "$(ready_pods app=echo)" = "$pods" ]' || fail "$(ready_pods app=echo) of $pods pods are Ready: $(kubectl describe pods | tail -20)"
equal "nodes with pods" 2 "$(pods_of app=echo | jq '[.items[].spec.nodeName] | unique | length')"
mapfile -t addresses < <(pods_of app=echo | jq -r '.items[].status.podIPs[].ip')
for node in a b; do addresses+=("$(lab_ip "$node" 4)" "$(lab_ip "$node" 6)"); done
reached=$(everybody_reaches "${addresses[@]}") || fail "$reached"
equal "pings answered, pods and both nodes, both families" $((pods * (pods + 2) * 2)) "$reached"
note "$reached of $reached pings answered"
first=$(pods_of app=echo | jq -r '.items[0].metadata.name')
kubectl exec "$first" -- /bin/ping -c 1 -W 2 "$lab_world4" > /dev/null || fail "the outside is not reached"

note "deleting install.yaml's DaemonSet alone cuts nobody off"
in_system delete daemonset netkite
eventually 60 '[ -z "$(in_system get pods -l app.kubernetes.io/name=netkite -o name)" ]' || fail "pods are left: $(why_not)"
kubectl exec "$first" -- /bin/ping -c 1 -W 2 "${addresses[0]}" > /dev/null || fail "pods are cut off"
install_netkite

note "uninstalled: the nodes are as they were"
delete_echo
uninstall_netkite
for node in a b; do
  eventually 10 'cmp -s "$lab/before-$node" <(node_world "$node" | sort)' || true
  diff "$lab/before-$node" <(node_world "$node" | sort) || fail "something is left on node $node (above: < before, > now)"
done
equal "objects" "" "$(netkite_objects)"
