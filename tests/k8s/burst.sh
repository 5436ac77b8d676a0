#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A hundred pods at once on one node: each gets its network at the first try and becomes Ready. The same with Debian's bridge
# plugin afterwards, and how long either's ADDs took as containerd sees them. What holds up the slowest of a burst is often an
# accident of the machine: NETKITE_ROUNDS (1) bursts of each tell more, of which the middle one counts.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
. "$root/dev/lib/bench_datapath.sh"
command -v containerd ctr runc busybox > /dev/null || skip "no containerd, ctr, runc or busybox: dev/setup lab installs them"
pods=${NETKITE_PODS:-100} rounds=${NETKITE_ROUNDS:-1}
open_lab
at_close=close_kubelets
nodes a control
control_up

# The plugins of a folder that containerd looks into: for these two a script that writes down how each ADD ended, when it began
# and when it was over.
mkdir "$lab/timed"
ln -s "$CNI_PATH"/* "$lab/timed"
for plugin in netkite bridge; do
  rm "$lab/timed/$plugin"
  cat > "$lab/timed/$plugin" <<SCRIPT
#!/bin/bash
begin=\$EPOCHREALTIME status=0
"$CNI_PATH/$plugin" || status=\$?
[ "\$CNI_COMMAND" != ADD ] || echo "\$status \$begin \$EPOCHREALTIME" >> "$lab/adds-$plugin"
exit \$status
SCRIPT
  chmod +x "$lab/timed/$plugin"
done
CNI_PATH=$lab/timed node_up a
# One address a pod for both: with IPv6 the bridge waits for duplicates.
eventually 30 'kubectl get node a > /dev/null 2>&1' || fail "the node does not register: $(tail -5 "$lab/a/kubelet.log")"
kubectl patch node a -p '{"spec": {"podCIDR": "10.77.1.0/24", "podCIDRs": ["10.77.1.0/24"]}}' > /dev/null
controllers_up
eventually 60 '[ "$(ready_nodes)" = 1 ]' || fail "the node is not Ready: $(kubectl get nodes) $(tail -5 "$lab/a/kubelet.log")"
eventually 30 'kubectl get serviceaccount default > /dev/null 2>&1' || fail "no service account for pods: $(tail -5 "$lab/kube/controllers.log")"

# <label> <count>: Pods of node a, past the scheduler
pod_objects() {
  jq -n --arg app "$1" --argjson count "$2" --arg image "$image" '{apiVersion: "v1", kind: "List", items: [range($count) | {apiVersion: "v1",
    kind: "Pod", metadata: {name: "\($app)-\(.)", labels: {$app}}, spec: {nodeName: "a", terminationGracePeriodSeconds: 1,
    automountServiceAccountToken: false, containers: [{name: $app, $image, imagePullPolicy: "Never",
    command: ["/bin/httpd", "-f", "-p", "8080"], readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}]}}]}'
}
# The kubelet hears of all of them at once. <label> <count>
run_pods() {
  local kubelet
  kubelet=$(cat "$lab/jobs/kubelet-a.pid")
  kill -STOP "$kubelet"
  pod_objects "$1" "$2" | kubectl create -f - > /dev/null
  kill -CONT "$kubelet"
  kubectl wait --for condition=Ready pods -l "app=$1" --timeout "$((200 * slow))s" > "$lab/wait" 2>&1 ||
    fail "$(ready_pods "app=$1") of $2 pods are Ready: $(tail -2 "$lab/wait") $(kubectl describe pods | tail -20)"
}
# burst PLUGIN ROUND: its ADDs are in $lab/adds-PLUGIN-ROUND afterwards
burst() {
  local begin
  : > "$lab/adds-$1"
  begin=$EPOCHREALTIME
  run_pods burst "$pods"
  note "$1: $pods pods are Ready after $(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }') s"
  equal "ADDs of the plugin $1, and those that failed" "$pods 0" "$(awk '{ bad += $1 != 0 } END { print NR, bad + 0 }' "$lab/adds-$1")"
  equal "addresses" "$pods" "$(pods_of app=burst | jq '[.items[].status.podIP] | unique | length')"
  equal "restarts" 0 "$(pods_of app=burst | jq '[.items[].status.containerStatuses[].restartCount] | add')"
  cp "$lab/adds-$1" "$lab/adds-$1-$2"
}
delete_pods() { kubectl delete pods "$@" --timeout "$((120 * slow))s" > /dev/null || fail "pods are left: $(kubectl get pods)"; }
# bursts PLUGIN
bursts() {
  local round
  run_pods "warm-$1" 1
  equal "ADDs of the plugin $1" 1 "$(grep -c '' "$lab/adds-$1")"
  for round in $(seq "$rounds"); do
    [ "$round" = 1 ] || delete_pods -l app=burst
    burst "$1" "$round"
  done
}
# The numbers' one that so many percent are not above. rank PERCENT
rank() { sort -n | awk -v part="$1" '{ value[NR] = $1 } END { rank = NR * part / 100; i = int(rank); print value[i < rank ? i + 1 : i] }'; }
# Of each round. percentiles PLUGIN PERCENT
percentiles() {
  local round
  for round in $(seq "$rounds"); do awk '{ print ($3 - $2) * 1000 }' "$lab/adds-$1-$round" | rank "$2"; done
}

remember a "$lab/before"
bursts netkite
equal "endpoints" $((pods + 1)) "$(ctl a endpoints | jq '.endpoints | length')"
delete_pods --all
wait_for=30 same_world a "$lab/before"

lab_agent_stop a
lab_in a netkite-agent --config "$lab/a/agent.json" --cleanup > "$lab/cleanup" 2>&1 || fail "the clean-up: $(cat "$lab/cleanup")"
jq 'del(.ipam.ranges[1], .ipam.routes[1])' "$(peer_conf bridge a)" > "$lab/a/net.d/10-bridge.conf"
rm "$lab/a/net.d/10-netkite.conflist"
bursts bridge
for part in 50 99; do
  for plugin in netkite bridge; do note "ADD p$part of $plugin, ms, each round: $(percentiles "$plugin" "$part" | xargs)"; done
  awk -v part="$part" -v ours="$(percentiles netkite "$part" | rank 50)" -v theirs="$(percentiles bridge "$part" | rank 50)" \
    'BEGIN { printf "-- ADD p%d: netkite %.1f ms, bridge %.1f ms, ratio %.2f\n", part, ours, theirs, ours / theirs }'
done
lab_end_process "$(cat "$lab/jobs/kubelet-a.pid")" TERM
rm "$lab/jobs/kubelet-a.pid"
