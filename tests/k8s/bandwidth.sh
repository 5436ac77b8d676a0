#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The annotations by which a pod of a real cluster is limited reach the agent, through kubelet and containerd.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
two_nodes '.bandwidth = {enabled: true}'
# containerd reads it again when a file of the folder is renamed.
jq '.cniVersion = "1.0.0" | .plugins[0].capabilities = {bandwidth: true}' "$lab/a/net.conflist" > "$lab/a/net.d/new"
mv "$lab/a/net.d/new" "$lab/a/net.d/10-netkite.conflist"

# pod NAME ANNOTATIONS
pod() {
  kubectl create -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: limited}, annotations: $2}
spec: {nodeName: a, terminationGracePeriodSeconds: 1, automountServiceAccountToken: false,
  containers: [{name: main, image: '$image', imagePullPolicy: Never}]}
YAML
}
of() { ctl a endpoints | jq -r --arg name "$1" ".endpoints[] | select(.pod_name == \$name) | $2"; }
shaped() { lab_in a tc -json qdisc show dev "$(of "$1" .host_ifname)" | jq -r '[.[] | select(.kind == "tbf") | .options.rate * 8] | join(" ")'; }

pod both '{kubernetes.io/egress-bandwidth: 10M, kubernetes.io/ingress-bandwidth: 20M}'
pod up '{kubernetes.io/egress-bandwidth: 5M}'
pod free '{}'
eventually 120 '[ "$(ready_pods app=limited)" = 3 ]' || fail "pods are not Ready: $(kubectl describe pods | tail -20)"
rates='"\(.bandwidth.egress_rate // 0) \(.bandwidth.ingress_rate // 0)"'
equal "limits of the pod with both" "10000000 20000000" "$(of both "$rates")"
equal "limits of the pod with one" "5000000 0" "$(of up "$rates")"
equal "limits of the pod with none" "0 0" "$(of free "$rates")"
equal "the queue before the pod with both" 20000000 "$(shaped both)"
equal "the queue before the pod with one" "" "$(shaped up)"
kubectl delete pods --all > /dev/null
eventually 30 '[ "$(ctl a endpoints | jq ".endpoints | length")" = 0 ]' || fail "endpoints are left: $(ctl a endpoints)"
