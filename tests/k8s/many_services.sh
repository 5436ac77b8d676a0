#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Many services, each with endpoints: an agent that starts has them in its maps soon, stays small, and what changes is
# there at once.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
count=${SERVICES:-$(scaled 10000)} each=${ENDPOINTS:-10}
group=$(group_of a)
[ -n "$group" ] || skip "no version 2 hierarchy of control groups: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
open_lab
mkdir "$group"
at_close='clear_cgroups netkite-k8s'
nodes a control
control_up
service_rights
node_object a 1 | kubectl create -f - > /dev/null

note "$count services with $each endpoints each"
# What is written besides: an agent must not hold it.
jq -nc --argjson count "$count" --argjson each "$each" '("x" * 500) as $long | range($count) | "s\(.)" as $name | . as $n |
  {method: "POST", path: "/api/v1/namespaces/default/services", body: {apiVersion: "v1", kind: "Service",
    metadata: {$name, labels: {app: "many"}, annotations: {$long}}, spec: {clusterIP: "10.96.\(1 + ($n / 250 | floor)).\(1 + $n % 250)",
      selector: {app: $name}, ports: [{port: 80, targetPort: 8080}]}}},
  {method: "POST", path: "/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices", body: {apiVersion: "discovery.k8s.io/v1beta1",
    kind: "EndpointSlice", metadata: {name: "\($name)-x", labels: {"kubernetes.io/service-name": $name}, annotations: {$long}}, addressType: "IPv4",
    ports: [{name: "", protocol: "TCP", port: 8080}], endpoints: [range($each) | ($n * $each + .) as $e | {conditions: {ready: true},
      addresses: ["10.\(128 + ($e / 62500 | floor)).\($e / 250 % 250 | floor).\(1 + $e % 250)"], topology: {"kubernetes.io/hostname": "n\($e % 100)"},
      targetRef: {kind: "Pod", namespace: "default", name: "p\($e)"}}]}}' > "$lab/made"
split -l $(((count / 4 + 1) * 2)) "$lab/made" "$lab/made."
begin=$SECONDS
in_bulk "$lab"/made.a?
note "made in $((SECONDS - begin)) s"

with_services='.services = {enabled: true, cgroup: "'$group'"}'
since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }'; }
# Frontends, backends, slots: of the services that were made, and of the API server's own.
entries() { ctl a status 2> /dev/null | jq -c '[.maps[] | select(.name | test("^nk_(backend|frontend|slot)_")) | .entries] | sort'; }
memory() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$(lab_agent_pid a)/status"; }
small() { note "$1: resident $(memory VmRSS) KiB, at most $(memory VmHWM)"; [ "$(memory VmHWM)" -le 131072 ] || fail "the agent has grown to $(memory VmHWM) KiB"; }
complete="[$((count + 1)),$((count * each + 1)),$((count * each + 1))]"
begin=$EPOCHREALTIME
kube_agent a "$with_services"
eventually 60 '[ "$(entries)" = "$complete" ]' || fail "expected $complete, got $(entries): $(ctl a status | jq -c .problems) $(tail -3 "$lab/a/agent.log")"
took=$(since "$begin")
note "all in the maps $took s after the start"
[ "${took%.*}" -lt $((20 * slow)) ] || fail "that is too long"
small "in step"
ctl a status | jq -r '[.maps[] | select(.name | test("^nk_(backend|frontend|slot|affinity|flow|socket)")) | "\(.name) \(.entries) entries, \(.bytes / 1024 | floor) KiB"] | "-- " + join("; ")'

note "one changes"
slice=/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices/s77-x
kubectl get --raw "$slice" | jq -c --arg path "$slice" '{method: "PUT", $path, body: (.endpoints |= .[1:])}' > "$lab/change"
backends() { ctl a services 2> /dev/null | jq -r '.services[] | select(.service == "default/s77") | .backends_total'; }
less="[$((count + 1)),$((count * each)),$((count * each))]"
begin=$EPOCHREALTIME
in_bulk "$lab/change"
eventually 10 '[ "$(entries)" = "$less" ]' || fail "expected $less, got $(entries)"
note "in the map $(since "$begin") s after the request began"
equal "backends" $((each - 1)) "$(backends)"
small "after that"

note "a restart changes nothing"
lab_agent_stop a KILL
begin=$EPOCHREALTIME
kube_agent a "$with_services"
eventually 60 '[ "$(backends)" = $((each - 1)) ]' || fail "$(ctl a status | jq -c .problems)"
note "in force again $(since "$begin") s after the start"
equal "entries" "$less" "$(entries)"
small "after the restart"

note "they go"
jq -c 'select(.path | endswith("/services")) | {method: "DELETE", path: "\(.path)/\(.body.metadata.name)", body: {}}' "$lab/made" > "$lab/gone"
split -l $((count / 4 + 1)) "$lab/gone" "$lab/gone."
begin=$SECONDS
in_bulk "$lab"/gone.a?
eventually 20 '[ "$(entries)" = "[1,1,1]" ]' || fail "left: $(entries)"
note "gone in $((SECONDS - begin)) s"
small "at the end"
