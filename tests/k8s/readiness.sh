#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A node is said to be ready for pods when it is: the agent takes the taint away and sets the condition once its programs
# are attached and it has heard of all nodes, and not before. Each right that it has is needed.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
open_lab
group=$(group_of a)
[ -n "$group" ] || skip "no version 2 hierarchy of control groups: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
mkdir "$group"
at_close='clear_cgroups netkite-k8s'
nodes a b control
control_up
service_rights
taint=netkite.io/agent-not-ready
problems() { ctl "$1" status | jq -r '.problems[]'; }
says() { [[ $(problems "$1") = *"$2"* ]]; }
taints() { kubectl get node "$1" -o json | jq -r '[.spec.taints[]?.key] | join(" ")'; }
tainted() { [[ " $(taints "$1") " = *" $taint "* ]]; }
available() { kubectl get node "$1" -o json | jq -r '[.status.conditions[]? | select(.type == "NetworkUnavailable") | .status] | join(" ")'; }
told() { ! tainted "$1" && [ "$(available "$1")" = False ]; }
untold() { tainted "$1" && [ "$(available "$1")" = True ]; }
# As a kubelet registers it with --register-with-taints and a cloud's controller marks it.
marked() {
  jq --arg taint "$taint" '.spec.taints = [{key: "example.com/first", effect: "NoSchedule"}, {key: $taint, effect: "NoExecute"},
    {key: "example.com/last", effect: "NoSchedule"}, {key: $taint, effect: "NoSchedule"}]
    | .status.conditions = [{type: "Ready", status: "False"}, {type: "NetworkUnavailable", status: "True", reason: "NoRouteCreated"}]'
}
mark_again() {
  kubectl taint node "$1" "$taint=:NoExecute" --overwrite > /dev/null
  kubectl get node "$1" -o json | jq '.status.conditions |= map(if .type == "NetworkUnavailable" then .status = "True" else . end)' |
    kubectl replace --raw "/api/v1/nodes/$1/status" -f - > /dev/null
}

note "not before it has podCIDRs"
node_object a 1 | marked | kubectl create -f - > /dev/null
node_object b 2 | jq 'del(.spec.podCIDR, .spec.podCIDRs)' | marked | kubectl create -f - > /dev/null
kube_agent b
until_true 20 says b 'no podCIDR yet' || fail "the agent does not see the cluster: $(problems b)"
untold b || fail "node b has no podCIDR, and is said to be ready: $(taints b), $(available b)"
kubectl patch node b -p '{"spec": {"podCIDR": "10.77.2.0/24", "podCIDRs": ["10.77.2.0/24", "fd77:2::/64"]}}' > /dev/null
until_true 20 told b || fail "node b is ready, and not said to be: $(taints b), $(available b); $(problems b)"
node_ready b || fail "node b is said to be ready before it is"

note "not before its programs are attached"
kube_agent a '.uplinks = ["eth7"]'
until_true 20 says a eth7 || fail "a missing uplink is not named: $(problems a)"
eventually 20 '[ "$(ctl a status | jq .peers)" = 1 ]' || fail "node a does not know node b"
eventually 5 '[[ $(page a /readyz) = *" 503 "* ]]' || fail "/readyz without an uplink: $(page a /readyz)"
untold a || fail "node a has no programs on its uplink, and is said to be ready"
lab_agent_stop a
kube_agent a
until_true 20 told a || fail "node a is ready, and not said to be: $(taints a), $(available a); $(problems a)"
equal "the taints of others, but those of the node's life" "example.com/first example.com/last" \
  "$(taints a | tr ' ' '\n' | grep -v node.kubernetes.io | xargs)"
equal "the reason" NetkiteIsReady "$(kubectl get node a -o json | jq -r '.status.conditions[] | select(.type == "NetworkUnavailable") | .reason')"
equal "other conditions" False "$(kubectl get node a -o json | jq -r '.status.conditions[] | select(.type == "Ready") | .status')"
eventually 10 '[ -z "$(problems a)" ]' || fail "still: $(problems a)"

note "again when somebody says otherwise; not when it is not to report"
mark_again a
until_true 20 told a || fail "node a is not said to be ready again: $(taints a), $(available a); $(problems a)"
lab_agent_stop a
mark_again a
kube_agent a '.kubernetes.report_ready = false'
until_true 20 node_ready a || fail "node a is not ready: $(problems a)"
eventually 20 '[ "$(ctl a status | jq ".uptime_s >= 3")" = true ]'
untold a || fail "an agent that is not to report has done so"

note "each right is needed, with services too, and a missing one is named"
kubectl get clusterrole netkite-agent -o json | jq 'del(.metadata.resourceVersion, .metadata.uid)' > "$lab/role.json"
count=0
while read -r resource verb; do
  count=$((count + 1))
  jq --arg resource "$resource" --arg verb "$verb" '.rules |= map(if .resources == [$resource] then .verbs -= [$verb] else . end
    | select(.verbs != []))' \
    "$lab/role.json" | kubectl replace -f - > /dev/null
  lab_agent_stop a
  mark_again a
  kube_agent a '.services = {enabled: true, cgroup: "'"$group"'"}'
  until_true 30 says a "cannot $verb resource \"$resource\"" ||
    fail "without the right to $verb $resource: $(problems a)"
  [[ $resource != nodes* ]] || ! told a || fail "node a was reported without the right to $verb $resource"
done < <(jq -r '.rules[] | .resources[] as $resource | .verbs[] as $verb | "\($resource) \($verb)"' "$lab/role.json")
equal "rights" 10 "$count"
kubectl replace -f "$lab/role.json" > /dev/null
until_true 60 told a || fail "all rights are back: $(problems a)"
eventually 60 '[ -z "$(problems a)" ]' || fail "still: $(problems a)"
