#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A large cluster, as far as the API server is concerned, whose pods come and go: its agent starts soon, stays small and
# misses no route.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
count=${NETKITE_NODES:-5000} pods=${NETKITE_PODS:-20000} changes=${NETKITE_CHANGES:-400} rate=20
open_lab
nodes a control
control_up
kubectl create serviceaccount default > /dev/null
node_object a 1 | kubectl create -f - > /dev/null

note "$count nodes and $pods pods, a hundred of which are node a's own"
# What a kubelet reports besides: an agent must not hold it.
jq -nc --argjson count "$count" '("x" * 2000) as $long | range(1; $count + 1) | (. / 256 | floor) as $high | (. % 256) as $low |
  {method: "POST", path: "/api/v1/nodes", body: {
  apiVersion: "v1", kind: "Node", metadata: {name: "n\(.)", labels: {zone: "z\($low)"}, annotations: {$long}},
  spec: {podCIDR: "10.\(128 + $high).\($low).0/24", podCIDRs: ["10.\(128 + $high).\($low).0/24", "fd99:\(.)::/64"]},
  status: {addresses: [{type: "InternalIP", address: "172.\(16 + $high).\($low).1"}, {type: "InternalIP", address: "2001:db8:9::\(.)"}],
    images: [range(20) | {names: ["image-\(.)"], sizeBytes: .}]}}}' > "$lab/nodes"
in_bulk "$lab/nodes"
jq -nc --argjson count "$count" --argjson pods "$pods" '("x" * 500) as $long | range($pods) | "p\(.)" as $name | (. % $count + 1) as $node |
  (2 + . / $count | floor) as $host | (if . < 100 then ["a", "10.77.1.\(2 + .)", "fd77:1::\(2 + .)"] else
    ["n\($node)", "10.\(128 + ($node / 256 | floor)).\($node % 256).\($host)", "fd99:\($node)::\($host)"] end) as [$nodeName, $four, $six] |
  {method: "POST", path: "/api/v1/namespaces/default/pods", body: {apiVersion: "v1", kind: "Pod",
    metadata: {$name, labels: {app: "many", one: $name}, annotations: {$long}},
    spec: {$nodeName, automountServiceAccountToken: false, containers: [{name: "main", image: "image", env: [range(5) | {name: "E\(.)", value: $name}]}]}}},
  {method: "PATCH", type: "application/merge-patch+json", path: "/api/v1/namespaces/default/pods/\($name)/status",
    body: {status: {phase: "Running", hostIP: "192.0.2.1", podIP: $four, podIPs: [{ip: $four}, {ip: $six}]}}}' > "$lab/pods-made"
split -l $(((pods / 4 + 1) * 2)) "$lab/pods-made" "$lab/pods-made."   # a pod and its status stay together
begin=$SECONDS
in_bulk "$lab"/pods-made.a?
note "made in $((SECONDS - begin)) s"

jq -r '.body.spec.podCIDRs[]' "$lab/nodes" | sort > "$lab/expected"
present() { for family in $both; do ip -n "$lab_prefix-a" "-$family" route show proto 178; done | awk '/ via / { print $1 }' | sort; }
missing() { comm -23 "$lab/expected" <(present); }
memory() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$(lab_agent_pid a)/status"; }
small() { note "$1: resident $(memory VmRSS) KiB, at most $(memory VmHWM)"; [ "$(memory VmHWM)" -lt 65536 ] || fail "the agent has grown to $(memory VmHWM) KiB"; }
begin=$EPOCHREALTIME
kube_agent a
eventually 60 '[ -z "$(missing)" ]' || fail "routes are missing, $(missing | wc -l) of $((2 * count)): $(tail -3 "$lab/a/agent.log")"
note "all routes $(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }') s after the start"
small "in step"
equal "peers" "$count" "$(ctl a status | jq .peers)"

note "$changes pods change, every other one of them node a's"
ticks() { awk '{ print $14 + $15 }' "/proc/$(lab_agent_pid a)/stat"; }
pod_changes() {
  local n pod body rest begin=${EPOCHREALTIME/./}   # microseconds
  for ((n = 0; n < changes; n++)); do
    pod=p$((n % 2 ? n * 37 % pods : n / 2 % 100)) body="{\"metadata\": {\"labels\": {\"change\": \"$n\"}}}"
    printf 'PATCH /api/v1/namespaces/default/pods/%s HTTP/1.1\r\nHost: lab\r\nContent-Type: application/merge-patch+json\r\nContent-Length: %s\r\n\r\n%s' \
      "$pod" "${#body}" "$body"
    rest=$((begin + (n + 1) * 1000000 / rate - ${EPOCHREALTIME/./}))
    [ "$rest" -le 0 ] || sleep "$(printf '0.%06d' "$rest")"
  done
  printf 'GET /healthz HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n'
}
begin=$EPOCHREALTIME used=$(ticks)
pod_changes | api_line > "$lab/changes"
equal "changes that were made" $((changes + 1)) "$(grep -ac '^HTTP/1.1 20' "$lab/changes")"
awk -v begin="$begin" -v end="$EPOCHREALTIME" -v changes="$changes" -v used=$(($(ticks) - used)) -v hertz="$(getconf CLK_TCK)" \
  'BEGIN { s = end - begin; printf "-- %.1f changes/s; the agent used %.2f %% of a processor\n", changes / s, 100 * used / hertz / s }'
small "after them"
equal "routes missing" "" "$(missing)"

note "one goes"
kubectl delete node n7 > /dev/null
eventually 10 '[ -z "$(ip -n "$lab_prefix-a" route show 10.128.7.0/24)" ]' || fail "the route of a node that has gone stays"
equal "routes missing" "10.128.7.0/24 fd99:7::/64" "$(missing | xargs)"

note "a restart without the server"
api_down
lab_agent_stop a KILL
kube_agent a
until_true 20 node_ready a || fail "not ready: $(tail -3 "$lab/a/agent.log")"
equal "routes missing" "10.128.7.0/24 fd99:7::/64" "$(missing | xargs)"
