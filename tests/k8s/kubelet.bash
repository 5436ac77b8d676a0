# SPDX-License-Identifier: Apache-2.0
# Nodes of the cluster, each with a containerd, a kubelet and an agent of its own in a network and a mount namespace.
# Source it after control.bash, with the control plane up.
#
#   controllers_up              kube-controller-manager (it gives podCIDRs) and kube-scheduler
#   node_up NODE [JQ-FILTER]    agent, conflist, containerd, kubelet
#   bare_node NODE              containerd and kubelet, with the folders that a node has, and nothing of ours
#   two_nodes [JQ-FILTER]       opens the laboratory: a control plane, and nodes a and b, made so and Ready
#   close_kubelets              for at_close: their control groups are the machine's, as they were
#   on NODE command…            run in both namespaces of the node
#   ready_nodes                 how many are Ready; ready_pods LABEL: of the pods with a label
#   pods_of LABEL               those pods (JSON)
#   echo_container PORT         a container that answers HTTP with "ok" and is probed in each of the kubelet's ways (YAML)
#   echo_deployment COUNT       a Deployment of that many pods of it, labelled app=echo, on port 8080 (YAML)
#   everybody_reaches ADDRESS…  every pod of it reaches each address; prints how many pings were answered
#
# One image serves as sandbox and as pod: a static busybox. A script that needs more in it sets `image_more` to a command
# that puts it into the folder that it is told.

image=netkite.test/busybox:1
pod_cidrs=10.77.0.0/16,fd77::/48

controllers_up() {
  kubeconfig "$lab/kube/controllers.conf" system:kube-controller-manager
  background controllers control "$kube_bin/kube-controller-manager" --kubeconfig "$lab/kube/controllers.conf" --leader-elect=false \
    --allocate-node-cidrs=true --cluster-cidr "$pod_cidrs" --node-cidr-mask-size-ipv4 24 --node-cidr-mask-size-ipv6 64 \
    --service-cluster-ip-range "$service_ranges" --feature-gates IPv6DualStack=true --use-service-account-credentials=true \
    --service-account-private-key-file "$lab/kube/accounts.key" --root-ca-file "$lab/kube/ca.crt"
  kubeconfig "$lab/kube/scheduler.conf" system:kube-scheduler
  background scheduler control "$kube_bin/kube-scheduler" --kubeconfig "$lab/kube/scheduler.conf" --leader-elect=false
}

# A process that holds the node's mount namespace: what is kept at places that cannot be chosen is the node's own. Mounts
# are shared in it, as a kubelet finds them on a machine.
node_space() {
  local node=$1
  mkdir -p "$lab/bpf/$node" "$lab/$node/containerd"
  # Containers' overlays cannot stand on another one, which the VM's root is.
  if [ "$(stat -f -c %T "$lab/$node/containerd")" = overlayfs ]; then mount -t tmpfs tmpfs "$lab/$node/containerd"; fi
  nsenter --net="$(lab_path "$node")" unshare --mount bash -c '
    for place in /var/lib /var/log /run /opt /etc/cni; do mount -t tmpfs tmpfs "$place" || exit; done
    mkdir -p /run/netns /opt/cni/bin /etc/cni/net.d && cp /usr/lib/cni/{loopback,portmap} /opt/cni/bin/ &&
      chown 1001 /opt/cni/bin /etc/cni/net.d && mount --bind "$1" /sys/fs/bpf && mount --make-rshared / && touch "$2" && exec sleep infinity' \
    _ "$lab/bpf/$node" "$lab/$node/space" &
  echo $! > "$lab/jobs/space-$node.pid"
  until_true 5 test -e "$lab/$node/space" || fail "no mount namespace for node $node"
}
on() {
  local node=$1
  shift
  nsenter --target "$(cat "$lab/jobs/space-$node.pid")" --mount --net "$@"
}
on_background() {
  local job=$1 node=$2
  shift 2
  nsenter --target "$(cat "$lab/jobs/space-$node.pid")" --mount --net "$@" > "$lab/$node/$job.log" 2>&1 &
  echo $! > "$lab/jobs/$job-$node.pid"
}

make_image() {
  local dir=$lab/image
  mkdir -p "$dir"/root/{bin,proc,sys,dev,etc,tmp}
  cp "$(command -v busybox)" "$dir/root/bin/busybox"
  local applet
  for applet in sh sleep ping wget httpd cat ip timeout hostname mv nc nslookup; do ln -s busybox "$dir/root/bin/$applet"; done
  ${image_more:-true} "$dir/root"
  tar -C "$dir/root" -cf "$dir/layer.tar" .
  jq -n --arg layer "sha256:$(sha256sum "$dir/layer.tar" | cut -d ' ' -f 1)" '{architecture: "amd64", os: "linux",
    config: {Entrypoint: ["/bin/sleep", "infinity"]}, rootfs: {type: "layers", diff_ids: [$layer]}}' > "$dir/config.json"
  jq -n --arg image "$image" '[{Config: "config.json", RepoTags: [$image], Layers: ["layer.tar"]}]' > "$dir/manifest.json"
  tar -C "$dir" -cf "$lab/image.tar" manifest.json config.json layer.tar
}

# containerd_up NODE [PLUGINS NETWORKS]
containerd_up() {
  local node=$1 bin=${2:-$CNI_PATH} conf=${3:-$lab/$1/net.d}
  cat > "$lab/$node/containerd.toml" <<CONF
version = 2
root = "$lab/$node/containerd"
state = "$lab/$node/containerd-state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "$lab/$node/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "$image"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$bin"
    conf_dir = "$conf"
CONF
  on_background containerd "$node" containerd --config "$lab/$node/containerd.toml"
  until_true 20 c "$node" version > /dev/null 2>&1 || fail "containerd of $node: $(tail -5 "$lab/$node/containerd.log")"
  c "$node" images import "$lab/image.tar" > "$lab/$node/import.log" 2>&1 || fail "import: $(cat "$lab/$node/import.log")"
}
c() { on "$1" ctr --address "$lab/$1/containerd.sock" --namespace k8s.io "${@:2}"; }

# With version 2 of control groups alone, the kubelet wants every controller of the machine below that root, too.
unified=/sys/fs/cgroup
raise_controllers() {
  local controller
  for controller in $(cat "$unified/cgroup.controllers"); do
    grep -qw "$controller" "$unified/cgroup.subtree_control" && continue
    echo "+$controller" > "$unified/cgroup.subtree_control" && echo "-$controller" >> "$lab/controllers"
  done
}
# The kubelet wants the root of its control groups to be there.
node_groups() {
  local node=$1 controller
  for controller in /sys/fs/cgroup/*/; do
    [ ! -e "$controller/cgroup.procs" ] || mkdir -p "$controller/netkite-k8s-$node"
  done
  if [ -e "$unified/cgroup.procs" ]; then
    raise_controllers
    mkdir -p "$unified/netkite-k8s-$node"
  fi
  for controller in /sys/fs/cgroup/cpuset/netkite-k8s-"$node"; do
    [ ! -e "$controller" ] || cat /sys/fs/cgroup/cpuset/cpuset.cpus > "$controller/cpuset.cpus"
    [ ! -e "$controller" ] || cat /sys/fs/cgroup/cpuset/cpuset.mems > "$controller/cpuset.mems"
  done
}
close_kubelets() {
  local change job
  # They would start again what ends.
  for job in "$lab"/jobs/kubelet-*.pid; do
    [ ! -e "$job" ] || { lab_end_process "$(cat "$job")" TERM; rm "$job"; }
  done
  clear_cgroups netkite-k8s
  umount -l "$lab"/*/containerd 2> /dev/null || true
  [ ! -e "$lab/controllers" ] || while read -r change; do
    echo "$change" > "$unified/cgroup.subtree_control"
  done < "$lab/controllers" 2> /dev/null || true
}

kubelet_up() {
  local node=$1
  kubeconfig "$lab/kube/kubelet-$node.conf" "system:node:$node" system:nodes
  node_groups "$node"
  cat > "$lab/$node/kubelet.yaml" <<CONF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupRoot: /netkite-k8s-$node
failSwapOn: false
enforceNodeAllocatable: []
evictionHard: {memory.available: 0%, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
makeIPTablesUtilChains: false
maxPods: 250
kubeAPIQPS: 50
kubeAPIBurst: 100
featureGates: {IPv6DualStack: true}
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $lab/kube/ca.crt}}
authorization: {mode: AlwaysAllow}
CONF
  on_background kubelet "$node" "$kube_bin/kubelet" --config "$lab/$node/kubelet.yaml" --kubeconfig "$lab/kube/kubelet-$node.conf" \
    --container-runtime remote --container-runtime-endpoint "unix://$lab/$node/containerd.sock" --hostname-override "$node" \
    --node-ip "$(lab_ip "$node" 4),$(lab_ip "$node" 6)" --root-dir "$lab/$node/kubelet" --cert-dir "$lab/$node/pki"
}

node_up() {
  local node=$1
  [ -e "$lab/image.tar" ] || make_image
  node_space "$node"
  node_groups "$node"
  kube_agent "$node" "${2:-.}"
  mkdir -p "$lab/$node/net.d"
  jq '.cniVersion = "1.0.0"' "$lab/$node/net.conflist" > "$lab/$node/net.d/10-netkite.conflist"
  containerd_up "$node"
  kubelet_up "$node"
}

two_nodes() {
  local node
  command -v containerd ctr runc busybox > /dev/null || skip "no containerd, ctr, runc or busybox: dev/setup lab installs them"
  open_lab
  at_close=close_kubelets
  nodes a b control
  control_up
  [ -z "${1:-}" ] || service_rights
  controllers_up
  node_up a "${1:-.}"
  node_up b "${1:-.}"
  eventually 60 '[ "$(ready_nodes)" = 2 ]' || fail "the nodes are not Ready: $(kubectl get nodes) $(tail -5 "$lab/a/kubelet.log")"
  # Ready for the kubelet is one thing, to have an address range and to know the other node another.
  for node in a b; do
    eventually 60 'node_ready "$node" && [ "$(ctl "$node" status | jq .peers)" = 1 ]' || fail "node $node: $(ctl "$node" status)"
  done
}

bare_node() {
  local node=$1
  [ -e "$lab/image.tar" ] || make_image
  node_space "$node"
  containerd_up "$node" /opt/cni/bin /etc/cni/net.d
  kubelet_up "$node"
}

# How many objects of a list (standard input) have the condition Ready.
count_ready() { jq '[.items[] | select(any(.status.conditions[]?; .type == "Ready" and .status == "True"))] | length'; }
ready_nodes() { kubectl get nodes -o json 2> /dev/null | count_ready; }
pods_of() { kubectl get pods -l "$1" -o json; }
ready_pods() { pods_of "$1" | count_ready; }

echo_container() {
  echo "{name: echo, image: '$image', imagePullPolicy: Never,
    command: [/bin/sh, -c, 'echo ok > /tmp/index.html; exec httpd -f -p $1 -h /tmp'],
    startupProbe: {exec: {command: [/bin/cat, /tmp/index.html]}, periodSeconds: 1},
    readinessProbe: {httpGet: {port: $1}, periodSeconds: 2}, livenessProbe: {tcpSocket: {port: $1}, periodSeconds: 5}}"
}
echo_deployment() {
  cat <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo}
spec:
  replicas: $1
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      terminationGracePeriodSeconds: 1
      automountServiceAccountToken: false
      containers: [$(echo_container 8080)]
YAML
}

everybody_reaches() {
  local pod answer reached=0
  for pod in $(pods_of app=echo | jq -r '.items[].metadata.name'); do
    answer=$(kubectl exec "$pod" -- /bin/sh -c 'for ip in "$@"; do ping -c 1 -W 2 "$ip" > /dev/null && echo ok || echo "no $ip"; done' _ "$@")
    lacks "pod $pod" no "$answer"
    reached=$((reached + $(grep -c ok <<< "$answer")))
  done
  echo "$reached"
}
