#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Pods and their nodes: the kubelet's probes reach pods of either kind, a pod in the node's own network reaches pods here and
# on the other node, and they reach it, over both families.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
pods=4
two_nodes
eventually 30 'kubectl get serviceaccount default > /dev/null 2>&1' || fail "no service account for pods: $(tail -5 "$lab/kube/controllers.log")"

# pod NAME NODE PORT [MORE]: one container of echo_container, labelled app=single; MORE is a line of its spec
pod() {
  cat <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: single}}
spec:
  nodeName: $2
  terminationGracePeriodSeconds: 1
  automountServiceAccountToken: false
  containers: [$(echo_container "$3")]
  ${4:-}
YAML
}
for node in a b; do pod "host-$node" "$node" 8081 'hostNetwork: true' | kubectl create -f - > /dev/null; done
echo_deployment "$pods" | kubectl create -f - > /dev/null
eventually 120 '[ "$(ready_pods app=echo) $(ready_pods app=single)" = "$pods 2" ]' || fail "pods are not Ready: $(kubectl get pods -o wide) $(kubectl describe pods | tail -20)"
equal "nodes with pods" 2 "$(pods_of app=echo | jq '[.items[].spec.nodeName] | unique | length')"
for node in a b; do
  equal "the address of host-$node" "$(lab_ip "$node" 4)" "$(kubectl get pod "host-$node" -o json | jq -r .status.podIP)"
done

# fetch POD URL…: prints how many answered as they should
fetch() {
  local answer
  answer=$(kubectl exec "$1" -- /bin/sh -c 'for url in "$@"; do [ "$(timeout 3 wget -q -O - "$url")" = ok ] && echo ok || echo "no $url"; done' _ "${@:2}" 2>&1)
  lacks "pod $1" no "$answer"
  grep -c ok <<< "$answer"
}
mapfile -t to_pods < <(pods_of app=echo | jq -r '.items[].status.podIPs[].ip | if contains(":") then "http://[\(.)]:8080/" else "http://\(.):8080/" end')
to_hosts=()
for node in a b; do to_hosts+=("http://$(lab_ip "$node" 4):8081/" "http://[$(lab_ip "$node" 6)]:8081/"); done
for node in a b; do
  equal "pods that host-$node reaches, twice" $((pods * 2)) "$(fetch "host-$node" "${to_pods[@]}")"
done
for name in $(pods_of app=echo | jq -r '.items[].metadata.name'); do
  equal "nodes that $name reaches, twice" 4 "$(fetch "$name" "${to_hosts[@]}")"
done
note "${#to_pods[@]} addresses of pods reached from each node's network, ${#to_hosts[@]} of nodes from each pod"

note "a probe that must fail does: the kubelet asks the pod itself"
pod deaf a 8080 | sed 's,httpd -f -p 8080 -h /tmp,sleep 1000,' | kubectl create -f - > /dev/null
failed() { kubectl get events -o json | jq -r --arg name "$1" '.items[] | select(.involvedObject.name == $name and .reason == "Unhealthy") | .message'; }
for kind in Readiness Liveness; do
  eventually 40 '[[ $(failed deaf) = *"$kind probe failed"*refused* ]]' || fail "$kind of a pod that does not listen: $(failed deaf)"
done
equal "pods that are Ready" "$pods 2" "$(ready_pods app=echo) $(ready_pods app=single)"
equal "restarts of the others" 0 "$(kubectl get pods -o json | jq '[.items[] | select(.metadata.name != "deaf") | .status.containerStatuses[].restartCount] | add')"
