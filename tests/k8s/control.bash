# SPDX-License-Identifier: Apache-2.0
# A Kubernetes control plane in the laboratory: etcd and kube-apiserver in the namespace of a node called control, which
# is no node of the cluster. Source it after lib.sh, with nodes … control made.
#
#   control_up                      certificates, etcd, the API server, the rights of the agent
#   api_up / api_down               the API server alone
#   kubectl …                       as the cluster's administrator
#   in_bulk FILE…                   requests (JSON, one a line: method, path, body, and type if it is a patch), each file over a connection
#                                   of its own; all of them must succeed
#   kubeconfig FILE USER [GROUP]    a kubeconfig for somebody
#   node_object NAME NUMBER [RANGES] [ADDRESSES]    a Node as a kubelet and the controller manager would make it (JSON)
#   service_rights                  the agent's account gets what it needs with services.enabled
#   group_of NODE                   where the node's control group of version 2 is, or nothing where there is no such hierarchy; whoever
#                                   makes it clears it by `clear_cgroups netkite-k8s`
#   kube_agent NODE [JQ-FILTER]     start a node's agent, which knows nothing but the cluster

kube_bin=$cache/lab/kubernetes-bin kube_packages=$cache/lab/kubernetes/usr/bin
[ -e "$kube_bin/.key" ] && [ -x "$kube_packages/etcd" ] || skip "no Kubernetes: dev/setup kubernetes makes it"

service_ranges=10.96.0.0/16,fd96::/112
kubectl() { lab_in control "$kube_packages/kubectl" --kubeconfig "$lab/kube/admin.conf" "$@"; }

# A connection to the API server, as the administrator: HTTP on standard input and output.
api_line() {
  lab_in control openssl s_client -quiet -verify_return_error -CAfile "$lab/kube/ca.crt" -cert "$lab/kube/admin.conf.crt" \
    -key "$lab/kube/admin.conf.key" -connect "$(lab_ip control 4):6443" 2> /dev/null
}
in_bulk() {
  local file line lines=()
  for file in "$@"; do
    {
      jq -j '(.body | tojson) as $body | "\(.method) \(.path) HTTP/1.1\r\nHost: lab\r\nContent-Type: \(.type // "application/json")\r\nContent-Length: \($body |
        utf8bytelength)\r\n\r\n\($body)"' "$file"
      printf 'GET /healthz HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n'
    } | api_line > "$file.answers" &
    lines+=($!)
  done
  for line in "${lines[@]}"; do wait "$line" || fail "a connection ended: $(tail -qn 2 "${@/%/.answers}")"; done
  for file in "$@"; do
    equal "answers to ${file##*/}, the last question being after the server's health" $(($(wc -l < "$file") + 1)) "$(grep -ac '^HTTP/1.1 20' "$file.answers")"
  done
}

# A certificate by the cluster's authority: <name> <subject> [alternative names] [days]
certificate() {
  local name=$lab/kube/$1
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$name.key" -out "$name.csr" -subj "$2" 2> /dev/null
  openssl x509 -req -in "$name.csr" -CA "$lab/kube/ca.crt" -CAkey "$lab/kube/ca.key" -CAcreateserial -days "${4:-2}" -out "$name.crt" \
    -extfile <(printf 'extendedKeyUsage=serverAuth,clientAuth\n%s' "${3:+subjectAltName=$3}") 2> /dev/null
}

kubeconfig() {
  local file=$1 user=$2 group=${3:-} name=${1##*/}
  certificate "$name" "/${group:+O=$group/}CN=$user"
  cat > "$file" <<CONF
apiVersion: v1
kind: Config
current-context: lab
contexts: [{name: lab, context: {cluster: lab, user: me}}]
clusters:
- name: lab
  cluster:
    server: https://$(lab_ip control 4):6443
    certificate-authority-data: $(base64 -w 0 "$lab/kube/ca.crt")
users:
- name: me
  user:
    client-certificate: $lab/kube/$name.crt
    client-key-data: $(base64 -w 0 "$lab/kube/$name.key")
CONF
}

# <job> <node> command…: in the background, its output in the job's log.
background() {
  local job=$1 node=$2
  shift 2
  nsenter --net="$(lab_path "$node")" "$@" > "$lab/kube/$job.log" 2>&1 &
  echo $! > "$lab/jobs/$job.pid"
}

control_up() {
  mkdir -p "$lab/kube"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=lab -keyout "$lab/kube/ca.key" \
    -out "$lab/kube/ca.crt" 2> /dev/null
  certificate server /CN=kube-apiserver "IP:$(lab_ip control 4),IP:10.96.0.1,IP:127.0.0.1,DNS:kubernetes.default.svc"
  certificate to-kubelet /O=system:masters/CN=kube-apiserver
  openssl ecparam -name prime256v1 -genkey -noout -out "$lab/kube/accounts.key"
  kubeconfig "$lab/kube/admin.conf" admin system:masters
  kubeconfig "$lab/kube/agent.conf" system:serviceaccount:kube-system:netkite-agent
  background etcd control "$kube_packages/etcd" --unsafe-no-fsync --data-dir "$lab/kube/etcd" \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
  api_up
  kubectl apply -f "$root/deploy/kubernetes/install.yaml" -l app.kubernetes.io/component=access > "$lab/kube/access.log" ||
    fail "install.yaml: $(cat "$lab/kube/access.log")"
}

api_start() {
  background api control "$kube_bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --secure-port 6443 \
    --advertise-address "$(lab_ip control 4)" --tls-cert-file "$lab/kube/server.crt" --tls-private-key-file "$lab/kube/server.key" \
    --client-ca-file "$lab/kube/ca.crt" --authorization-mode Node,RBAC --service-cluster-ip-range "$service_ranges" \
    --kubelet-client-certificate "$lab/kube/to-kubelet.crt" --kubelet-client-key "$lab/kube/to-kubelet.key" \
    --kubelet-preferred-address-types InternalIP --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$lab/kube/accounts.key" --service-account-signing-key-file "$lab/kube/accounts.key" \
    --feature-gates IPv6DualStack=true ${api_options:-}
}
api_ready() { [ "$(kubectl get --raw /readyz 2> /dev/null)" = ok ]; }
api_up() {
  api_start
  until_true 60 api_ready || fail "the API server does not start: $(tail -5 "$lab/kube/api.log")"
}
api_down() { lab_end_process "$(cat "$lab/jobs/api.pid")" KILL; rm "$lab/jobs/api.pid"; }

service_rights() {
  "$root/dev/manifests" --print config.services.enabled=true | kubectl apply -f - -l app.kubernetes.io/component=access > "$lab/kube/rights.log" ||
    fail "the chart's access: $(cat "$lab/kube/rights.log")"
}

group_of() {
  local hierarchy
  hierarchy=$(unified_hierarchy)
  [ -z "$hierarchy" ] || echo "$hierarchy/netkite-k8s-$1"
}

node_object() {
  local ranges=${3:-[\"10.77.$2.0/24\",\"fd77:$2::/64\"]} addresses=${4:-[\"192.0.2.$2\",\"2001:db8::$2\"]}
  jq -n --arg name "$1" --argjson ranges "$ranges" --argjson addresses "$addresses" '{apiVersion: "v1", kind: "Node",
    metadata: {$name}, spec: {podCIDR: $ranges[0], podCIDRs: $ranges},
    status: {addresses: [$addresses[] | {type: "InternalIP", address: .}]}}'
}

# Not waiting: such an agent is ready when the cluster is.
kube_agent() {
  local node=$1
  jq -n --arg node "$node" --arg run "$lab/$node/run" --arg bpf "$lab/bpf/$node" --arg kubeconfig "$lab/kube/agent.conf" \
    --arg device "$DEVICE" --arg cache "$lab/$node/cache" --arg source "$root/bpf" '{node_name: $node, run_dir: $run,
    bpffs: $bpf, $device, uplinks: ["eth0"], http_port: 9477, kubernetes: {enabled: true, $kubeconfig},
    datapath: {compile: "embedded", cache_dir: $cache, source_dir: $source}}' | jq "${2:-.}" > "$lab/$node/agent.json"
  jq -n --arg socket "$lab/$node/run/agent.sock" '{cniVersion: "1.1.0", name: "netkite",
    plugins: [{type: "netkite", agentSocket: $socket}]}' > "$lab/$node/net.conflist"
  nsenter --net="$(lab_path "$node")" netkite-agent --config "$lab/$node/agent.json" >> "$lab/$node/agent.log" 2>&1 &
  echo $! > "$lab/jobs/agent-$node.pid"
  until_true 20 test -S "$lab/$node/run/agent.sock" || fail "the agent of node $node did not start"
}
# What the agent's HTTP port says: page NODE /path
page() {
  lab_in "$1" bash -c 'exec 3<> /dev/tcp/127.0.0.1/9477 && printf "GET %s HTTP/1.0\r\n\r\n" "$1" >&3 && cat <&3' _ "$2" | tr -d '\r'
}
node_ready() { nk-cni status --conf "$lab/$1/net.conflist" > /dev/null 2>&1; }
