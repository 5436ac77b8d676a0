#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Services of a real cluster, without kube-proxy: what kubectl makes and changes is what pods and their nodes get at the
# socket, while the agents know nothing but the API server.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
[ -n "$(group_of a)" ] || skip "no version 2 hierarchy of control groups: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
name_server4=10.96.0.53
with_name_server() { "${CC:-cc}" -O1 -static -o "$1/bin/name_server" "$root/tests/k8s/name_server.c"; }
image_more=with_name_server
# The machine's other processes are none of ours: a node is what its own control group holds.
two_nodes '.services = {enabled: true, cgroup: ("'"$(group_of '')"'" + .node_name)}'
problems() { ctl "$1" status | jq -r '.problems | join("; ")'; }

# pod NAME NODE [MORE]: MORE is some of its spec, of its container
pod() {
  kubectl create -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: single, name: $1}}
spec: {nodeName: $2, terminationGracePeriodSeconds: 1, automountServiceAccountToken: false,
  dnsPolicy: None, dnsConfig: {nameservers: [$name_server4]}${3:+, $3},
  containers: [{name: main, image: '$image', imagePullPolicy: Never${4:+, $4}}]}
YAML
}
service() { kubectl expose "${@:2}" --dry-run=client -o json | jq "$1" | kubectl create -f -; }
echo_deployment 4 | sed 's/echo ok >/hostname >/' | kubectl create -f -
web='deployment echo --port 80 --target-port 8080 --name'
service '.spec += {ipFamilyPolicy: "SingleStack", ipFamilies: ["IPv4"]}' $web four
service '.spec += {ipFamilyPolicy: "SingleStack", ipFamilies: ["IPv6"]}' $web six
service '.spec += {ipFamilyPolicy: "RequireDualStack"}' $web both
addresses() { kubectl get service "$1" -o json | jq -r '.spec.clusterIPs[]'; }
# Those that ask, on each node, and one that is the node itself as far as the network is concerned.
pod on-a a
pod on-b b
pod host-a a 'hostNetwork: true'
pod names b '' "command: [/bin/name_server, '53', '$(addresses four)']"
service ".spec.clusterIP = \"$name_server4\"" pod names --name dns --port 53 --protocol UDP
eventually 120 '[ "$(ready_pods app=echo) $(ready_pods app=single)" = "4 4" ]' ||
  fail "pods are not Ready: $(kubectl get pods -o wide; kubectl describe pods | tail -20)"

enough=60   # connections, so that chance leaves none of four backends out
# ask POD URL [COUNT]: who answered, each once
ask() {
  kubectl exec "$1" -- /bin/sh -c 'i=0; while [ $((i += 1)) -le "$2" ]; do timeout "$3" wget -q -O - "$1" 2>&1; done; true' _ "$2" "${3:-1}" $((3 * slow)) |
    sort -u | paste -sd ' '
}
echo_pods() { pods_of app=echo | jq -r '[.items[] | select(.metadata.deletionTimestamp == null) | .metadata.name] | sort | join(" ")'; }
url() { [[ $1 = *:* ]] && echo "http://[$1]:${2:-80}/" || echo "http://$1:${2:-80}/"; }
# The addresses behind a service, as a node has them and as the cluster does.
backends() {
  ctl "$1" services | jq -r --arg name "default/$2" '[.services[] | select(.service == $name and .held) | .backends[].address] | unique | join(" ")'
}
slices() {
  kubectl get endpointslices -l "kubernetes.io/service-name=$1" -o json |
    jq -r '[.items[] | .endpoints[]? | select(.conditions.ready != false) | .addresses[]] | unique | join(" ")'
}
agreed() { [ "$(slices "$1" | wc -w) $(backends a "$1")" = "$2 $(slices "$1")" ] && [ "$(backends b "$1")" = "$(slices "$1")" ]; }
# in_force SERVICE COUNT: the cluster has that many backends, and both nodes have the same ones
in_force() {
  until_true 30 agreed "$@" ||
    fail "service $1: the cluster has '$(slices "$1")', node a '$(backends a "$1")', node b '$(backends b "$1")'; $(problems a)"
}

note "every service, from pods of both nodes and from a node, gets every backend; nodes and cluster agree"
in_force four 4
in_force six 4
in_force both 8
kubectl get endpointslices
everyone=$(echo_pods)
for service in four six both; do
  for address in $(addresses "$service"); do
    for who in on-a on-b host-a; do equal "$service from $who, $address" "$everyone" "$(ask "$who" "$(url "$address")" "$enough")"; done
  done
done
equal "addresses of a service of both families" 2 "$(addresses both | wc -l)"
for node in a b; do equal "problems of node $node" "" "$(problems "$node")"; done
kubectl exec on-b -- /bin/nc -w 3 10.96.0.1 443 < /dev/null || fail "the API server is not reached under its cluster address"

note "names come from a service, too, and lead to one"
in_force dns 1
for who in on-a on-b host-a; do
  contains "a name from $who" "$(addresses four)" "$(kubectl exec "$who" -- /bin/nslookup -type=a web.example "$name_server4")"
done
equal "by name" "$everyone" "$(ask on-a http://web.example/ "$enough")"

note "a pod that is not ready gets no connection, and then again"
odd=${everyone%% *}
kubectl exec "$odd" -- /bin/mv /tmp/index.html /tmp/away
in_force both 6
equal "the others" "${everyone#* }" "$(ask on-a "$(url "$(addresses four)")" "$enough")"
kubectl exec "$odd" -- /bin/mv /tmp/away /tmp/index.html
in_force both 8

note "a port of the node, asked for on it"
service '.spec += {type: "NodePort", ipFamilyPolicy: "RequireDualStack"}' $web port
port=$(kubectl get service port -o json | jq '.spec.ports[0].nodePort')
in_force port 8
for family in $both; do
  for who in host-a on-a; do equal "from $who" "$everyone" "$(ask "$who" "$(url "$(lab_ip a "$family")" "$port")" "$enough")"; done
done

note "session affinity"
kubectl patch service four -p '{"spec": {"sessionAffinity": "ClientIP"}}'
eventually 10 '[ "$(ask on-a "$(url "$(addresses four)")" 12 | wc -w)" = 1 ]' || fail "a pod's connections lead to several backends"

note "four, one, none"
kubectl scale deployment echo --replicas 1 > /dev/null
in_force both 2
in_force four 1
for address in $(addresses both) $(addresses four); do equal "the one" "$(echo_pods)" "$(ask on-b "$(url "$address")" 10)"; done
kubectl scale deployment echo --replicas 0 > /dev/null
in_force both 0
in_force four 0
for address in $(addresses both) $(addresses four); do contains "nobody serves $address" "Connection refused" "$(ask on-a "$(url "$address")")"; done

note "deleted, and gone"
kubectl delete service four six both port dns > /dev/null
only() { [ "$(ctl "$1" services | jq -r '[.services[].service] | unique | join(" ")')" = default/kubernetes ]; }
for node in a b; do until_true 10 only "$node" || fail "left on node $node: $(ctl "$node" services)"; done
