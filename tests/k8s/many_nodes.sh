#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A large cluster, as far as the API server is concerned: its agent starts soon, stays small and misses no route.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
count=${NODES:-1000}
open_lab
nodes a control
control_up
node_object a 1 | kubectl create -f - > /dev/null
# What a kubelet reports besides: an agent must not hold it.
jq -n --argjson count "$count" '{apiVersion: "v1", kind: "List", items: [range(1; $count + 1) | (. / 256 | floor) as $high | (. % 256) as $low | {
  apiVersion: "v1", kind: "Node", metadata: {name: "n\(.)", labels: {zone: "z\($low)"}, annotations: {long: ("x" * 2000)}},
  spec: {podCIDR: "10.\(128 + $high).\($low).0/24", podCIDRs: ["10.\(128 + $high).\($low).0/24", "fd99:\(.)::/64"]},
  status: {addresses: [{type: "InternalIP", address: "10.\(64 + $high).\($low).1"}, {type: "InternalIP", address: "2001:db8:9::\(.)"}],
    images: [range(20) | {names: ["image-\(.)"], sizeBytes: .}]}}]}' > "$lab/nodes.json"
kubectl create -f "$lab/nodes.json" > /dev/null
routes() { ip -n "$lab_prefix-a" "-$1" route show proto 178 | grep -c via; }
resident() { awk '/^VmRSS:/ { print $2 }' "/proc/$(lab_agent_pid a)/status"; }

begin=$EPOCHREALTIME
kube_agent a
eventually 20 '[ "$(routes 4)" = "$count" ] && [ "$(routes 6)" = "$count" ]' || fail "$(routes 4) and $(routes 6) routes of $count: $(tail -3 "$lab/a/agent.log")"
note "$count nodes: all routes $(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }') s after the start, resident $(resident) KiB"
[ "$(resident)" -lt 65536 ] || fail "the agent is resident with $(resident) KiB"
equal "peers" "$count" "$(ctl a status | jq .peers)"

note "one goes"
kubectl delete node n7 > /dev/null
eventually 10 '[ -z "$(ip -n "$lab_prefix-a" route show 10.128.7.0/24)" ]' || fail "the route of a node that has gone stays"
equal "routes" $((count - 1)) "$(routes 4)"

note "a restart without the server"
api_down
lab_agent_stop a KILL
kube_agent a
until_true 20 node_ready a || fail "not ready: $(tail -3 "$lab/a/agent.log")"
equal "routes" $((count - 1)) "$(routes 4)"
