#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What Netkite knows of a pod and says to its owner: labels as they change, the device that an annotation asks for, and
# why an ADD fails, in `kubectl describe pod`.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
. "$(dirname "$0")/daemonset.bash"
bare_cluster
install_netkite

# pod NAME DEVICE
pod() {
  kubectl create -f - > /dev/null <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: one, tier: front}, annotations: {netkite.io/device: $2}}
spec:
  nodeName: a
  terminationGracePeriodSeconds: 1
  automountServiceAccountToken: false
  containers: [{name: one, image: "$image", imagePullPolicy: Never, command: [/bin/sleep, infinity]}]
YAML
}
running() { [ "$(kubectl get pod "$1" -o jsonpath='{.status.phase}')" = Running ]; }
of() { netkite_on a endpoints | jq -r --arg name "$1" ".endpoints[] | select(.pod_name == \$name) | $2"; }

pod veth veth
until_true 60 running veth || fail "$(kubectl describe pod veth | tail -5)"
equal "the device" veth "$(of veth .device)"
eventually 5 '[ "$(of veth .labels.tier)" = front ]' || fail "labels: $(of veth .labels)"
kubectl label pod veth tier=back --overwrite > /dev/null
eventually 5 '[ "$(of veth .labels.tier)" = back ]' || fail "labels: $(of veth .labels)"
lag=$(on a bash -c 'exec 3<> /dev/tcp/127.0.0.1/9477 && printf "GET /metrics HTTP/1.0\r\n\r\n" >&3 && cat <&3' | tr -d '\r' |
  sed -n 's/^netkite_api_watch_lag_seconds{resource="pods"} //p')
[ -n "$lag" ] && [ "${lag%.*}" -lt 90 ] || fail "netkite_api_watch_lag_seconds: '$lag'"

note "messages that the owner of a pod sees"
described() { [[ $(kubectl describe pod "$1") = *"$2"* ]]; }
pod wrong macvlan
until_true 60 described wrong 'annotation netkite.io/device is "macvlan"' || fail "$(kubectl describe pod wrong | tail -5)"
kubectl describe pod wrong | grep -m 1 -o 'the pod.s annotation.*'
if [ "$(netkite_on a status | jq -r .device)" = veth ]; then
  pod none netkit
  until_true 60 described none "this node's kernel has no netkit devices" || fail "$(kubectl describe pod none | tail -5)"
else
  pod l2 netkit-l2
  until_true 60 running l2 || fail "$(kubectl describe pod l2 | tail -5)"
  equal "the device" netkit-l2 "$(of l2 .device)"
fi

note "the pod's end"
kubectl delete pod --all --wait=false > /dev/null
eventually 90 '[ -z "$(kubectl get pods -o name)" ]' || fail "pods are left: $(kubectl get pods)"
equal "endpoints" 0 "$(netkite_on a endpoints | jq '.endpoints | length')"
equal "problems" '' "$(netkite_on a status | jq -r '.problems[]')"
uninstall_netkite
