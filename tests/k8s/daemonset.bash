# SPDX-License-Identifier: Apache-2.0
# Netkite on a cluster as its users have it: the image, install.yaml, uninstall.yaml, kubectl. Source it after
# kubelet.bash.
#
#   bare_cluster              opens the laboratory: a control plane, and nodes a and b with the image and nothing of ours
#   image_on NODE…            the agent's image, made from the build under test, as dev/image names it (which is what the
#                             manifests name; from $first_build where a script sets it) and as $next_image
#   manifest                  install.yaml, with the way to the API server: nothing here serves the cluster's own address
#   install_netkite           by one kubectl command, and until every node has it and is Ready
#   delete_echo               the Deployment of echo_deployment, and until its pods are gone
#   uninstall_netkite         by one kubectl command, and until nothing is left of it
#   withdrawn                 nothing of Netkite is left in the cluster
#   node_world NODE           what is on a node, its files, pins and devices, as text
#   netkite_on NODE word…     the command-line tool, JSON output

next_image=localhost/netkite:next
in_system() { kubectl --namespace kube-system "$@"; }

bare_cluster() {
  local node
  open_lab
  at_close=close_cluster
  nodes a b control
  control_up
  controllers_up
  for node in a b; do bare_node "$node"; done
  image_on a b
}
close_cluster() { lower_rcu_of a b; close_kubelets; }

image_on() {
  local node name build=${first_build:-$(lab_build)}
  for name in '' "$next_image"; do
    [ -z "$name" ] || build=$(lab_build)
    "$root/dev/image" --build "$build" ${name:+--name "$name"} "$lab/netkite.tar" || fail "no image"
    for node in "$@"; do
      c "$node" images import "$lab/netkite.tar" >> "$lab/$node/import.log" 2>&1 || fail "import: $(cat "$lab/$node/import.log")"
    done
  done
}

manifest() {
  local enabled='"enabled": true'
  grep -qF "$enabled" "$root/deploy/kubernetes/install.yaml" || fail "install.yaml does not have $enabled"
  sed "s|$enabled|&, \"server\": \"https://$(lab_ip control 4):6443\"|" "$root/deploy/kubernetes/install.yaml"
}

rolled_out() { in_system rollout status daemonset/netkite --timeout "$((${1:-240} * slow))s"; }
why_not() {
  in_system describe pods -l app.kubernetes.io/name=netkite | tail -25
  in_system logs -l app.kubernetes.io/name=netkite --all-containers --tail 8 2>&1
}
install_netkite() {
  manifest | kubectl apply -f - || fail "install.yaml is refused"
  rolled_out || fail "the DaemonSet does not get ready: $(why_not)"
  eventually 60 '[ "$(ready_nodes)" = "$(kubectl get nodes -o name | wc -l)" ]' || fail "the nodes are not Ready: $(kubectl get nodes)"
}
delete_echo() {
  kubectl delete deployment echo > /dev/null
  eventually 90 '[ "$(pods_of app=echo | jq ".items | length")" = 0 ]' || fail "pods are left: $(kubectl get pods)"
}
netkite_objects() {
  kubectl get pod,daemonset,configmap,serviceaccount,clusterrole,clusterrolebinding -A -l app.kubernetes.io/name=netkite -o name
}
withdrawn() {
  eventually 240 '[ -z "$(netkite_objects)" ]' || fail "left in the cluster: $(netkite_objects); $(why_not)"
}
uninstall_netkite() {
  kubectl replace -f "$root/deploy/kubernetes/uninstall.yaml" || fail "uninstall.yaml is refused"
  withdrawn
}

netkite_on() { on "$1" "$lab/bin/netkite" --output json "${@:2}"; }
# Without what comes from forwarding, which stays on: somebody else may need it by now.
node_world() {
  world_of "$1" no-agent | grep -v '^route anycast'
  { on "$1" find /opt/cni /etc/cni /run/netkite 2> /dev/null || true; } | sed 's/^/file /'
}
# What killed agents have left raised: each node has a record of its own.
lower_rcu_of() {
  local node
  for node in "$@"; do
    on "$node" bash -c "$(declare -f lab_lower_rcu); lab_lower_rcu"
  done
}
