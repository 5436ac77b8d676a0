#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Nodes without a cluster: Node and Pod objects in a folder of YAML files give them their pools, their peers and labels.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
open_lab
nodes a b
manifests=$lab/manifests
mkdir "$manifests"
# Put in place at once, as editors do it.
node_file() {
  lab_config "$1" | jq '{apiVersion: "v1", kind: "Node", metadata: {name: .node_name}, spec: {podCIDRs: .pools}}' |
    jq --arg ip4 "$(lab_ip "$1" 4)" --arg ip6 "$(lab_ip "$1" 6)" '.status.addresses = [$ip4, $ip6 | {type: "InternalIP", address: .}]' > "$lab/new"
  mv "$lab/new" "$manifests/$1.json"
}
node_file a
cat > "$manifests/pods.yaml" <<'YAML'
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  labels: {app: web, tier: "1"}
YAML
from_files='del(.pools, .peers) | .kubernetes = {enabled: true, manifests: "'$manifests'"}'
agent a "$from_files"
# b starts without its own Node, and gets it.
(agent b "$from_files") &
waiting=$!
eventually 10 '[[ $(ctl b status 2> /dev/null) = *"has no node"* ]]' || fail "node b does not say what it waits for: $(ctl b status)"
node_file b
wait "$waiting" || fail "node b does not get ready with its Node"
routes() { ip -n "$lab_prefix-$1" route show "$2"; }
eventually 5 '[ -n "$(routes a 10.77.2.0/24)" ] && [ -n "$(routes b 10.77.1.0/24)" ]' || fail "the nodes do not know each other"

lab_namespace a1
lab_in a nk-cni add --conf "$lab/a/net.conflist" --netns "$(lab_path a1)" --container "$lab_prefix-a1" --result "$lab/pods/a1.json" \
  --args 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web' > "$lab/out" || fail "ADD: $(cat "$lab/out")"
lab_pod b b1
works a1 b1
works b1 a1
equal "pools of b" "10.77.2.0/24 fd77:2::/64" "$(ctl b status | jq -r '[.pools[].prefix] | join(" ")')"
equal "labels" '{"app":"web","tier":"1"}' "$(ctl a endpoints | jq -c '.endpoints[0].labels')"

note "changes are followed"
sed -i 's/"1"/"2"/' "$manifests/pods.yaml"
eventually 5 '[ "$(ctl a endpoints | jq -r ".endpoints[0].labels.tier")" = 2 ]' || fail "$(ctl a endpoints | jq -c .)"
node_c() {
  printf 'apiVersion: v1\nkind: Node\nmetadata: {name: c}\nspec: {podCIDR: 10.77.3.0/24}\nstatus: {addresses: [{type: InternalIP, address: 192.0.2.3}]}\n' \
    > "$manifests/c.yaml"
}
node_c
eventually 5 '[ -n "$(routes a 10.77.3.0/24)" ]' || fail "no route to a new node"
rm "$manifests/c.yaml"
eventually 5 '[ -z "$(routes a 10.77.3.0/24)" ]' || fail "the route to a node that is gone stays"

note "a mistake is named, and cuts nobody off"
problems() { ctl a status | jq -r '.problems | join("; ")'; }
echo '{"kind": [' > "$lab/new" && mv "$lab/new" "$manifests/b.json"
printf 'apiVersion: v1\nkind: Service\nmetadata: {name: s}\n' > "$manifests/service.yaml"
eventually 5 '[[ $(problems) = *b.json* ]] && [[ $(problems) = *"v1 Service has no effect"* ]]' || fail "expected two complaints: $(problems)"
works a1 b1
node_file b
rm "$manifests/service.yaml"
eventually 5 '[ -z "$(problems)" ]' || fail "still: $(problems)"

note "what cannot be done with the cluster's news is tried until it can"
setting() { lab_in a sysctl -q -w "$1"; }
mkdir "$lab/a/run/cluster.json.new"
lab_in a ip -6 route add default via fe80::99 dev eth0 proto ra metric 4096
setting net.ipv6.conf.eth0.accept_ra=1
setting net.ipv6.conf.all.forwarding=0
node_c
eventually 5 '[[ $(problems) = *accept_ra* ]] && [[ $(problems) = *"write $lab/a/run/cluster.json"* ]]' || fail "expected two complaints: $(problems)"
rmdir "$lab/a/run/cluster.json.new"
setting net.ipv6.conf.eth0.accept_ra=2
eventually 15 '[ -z "$(problems)" ]' || fail "still: $(problems)"
equal "IPv6 forwarding" 1 "$(lab_in a cat /proc/sys/net/ipv6/conf/all/forwarding)"
equal "nodes that are kept" "a b c" "$(jq -r '[.nodes[].metadata.name] | sort | join(" ")' "$lab/a/run/cluster.json")"
lab_in a ip -6 route del default via fe80::99 dev eth0 proto ra
rm "$manifests/c.yaml"

note "a restart without the folder goes on with what was known"
mv "$manifests" "$manifests.away"
agent_again a "$from_files"
works a1 b1
lab_pod a a2
works a2 b1
eventually 5 '[[ $(problems) = *"$manifests"* ]]' || fail "the folder is not named: $(problems)"
mv "$manifests.away" "$manifests"
eventually 5 '[ -z "$(problems)" ]' || fail "still: $(problems)"

note "without what was known it takes nothing away"
standing() { lab_in a nft list table inet netkite; lab_in a ip route; lab_in a ip -6 route; }
before=$(standing)
contains "the routes to b's pods" 10.77.2.0/24 "$before"
lab_agent_stop a
mv "$manifests" "$manifests.away"
rm "$lab/a/run/cluster.json"
(agent a "$from_files") &
waiting=$!
eventually 10 '[[ $(ctl a status 2> /dev/null) = *"$manifests"* ]]' || fail "the folder is not named: $(ctl a status)"
works a1 b1
works b1 a2
equal "routes and masquerade" "$before" "$(standing)"
mv "$manifests.away" "$manifests"
wait "$waiting" || fail "node a does not get ready with its Node"
eventually 5 '[ -z "$(problems)" ]' || fail "still: $(problems)"
works a1 b1
equal "routes and masquerade" "$before" "$(standing)"

note "the device that a pod asks for"
lab_namespace a3
wish() {
  lab_in a nk-cni add --conf "$lab/wish.conflist" --netns "$(lab_path a3)" --container "$lab_prefix-a3" --result "$lab/pods/a3.json" \
    --capabilities "{\"io.kubernetes.cri.pod-annotations\": {\"netkite.io/device\": \"$1\"}}" 2>&1
}
jq '.plugins[0].capabilities = {"io.kubernetes.cri.pod-annotations": true}' "$lab/a/net.conflist" > "$lab/wish.conflist"
contains "a wish that is none" 'annotation netkite.io/device' "$(wish macvlan || true)"
wish veth > "$lab/out" || fail "ADD: $(cat "$lab/out")"
equal "its device" veth "$(ctl a endpoints | jq -r --arg id "$lab_prefix-a3" '.endpoints[] | select(.container_id == $id) | .device')"
works a3 b1
works a1 a3

note "other podCIDRs are taken at the end of the last pod with an old address"
others="10.77.9.0/24 fd77:9::/64"
jq --arg others "$others" '.spec.podCIDRs = ($others | split(" "))' "$manifests/a.json" > "$lab/new" && mv "$lab/new" "$manifests/a.json"
eventually 5 '[[ $(problems) = *"have become"* ]]' || fail "no word of the other podCIDRs: $(problems)"
for pod in a1 a2 a3; do lab_unpod a "$pod"; done
pools() { ctl a status | jq -r '[.pools[].prefix] | join(" ")'; }
eventually 3 '[ "$(pools)" = "$others" ]' || fail "the pools are $(pools)"
eventually 5 '[ -z "$(problems)" ]' || fail "still: $(problems)"
