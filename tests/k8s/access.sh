#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Credentials that are wrong, and become right: the agent names what is wrong, lets pods be, and needs no restart.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
open_lab
nodes a b control
mkdir -p "$lab/kube"
echo 'good-token,system:serviceaccount:kube-system:netkite-agent,1' > "$lab/kube/tokens"
api_options="--token-auth-file $lab/kube/tokens"
control_up
node_object a 1 | kubectl create -f - > /dev/null
problems() { ctl a status | jq -r '.problems[]'; }
says() { [[ $(problems) = *"$1"* ]]; }
well() { [ -z "$(problems)" ]; }

# <server> <authority> [more of the cluster]: a kubeconfig with a token of its own file, in place at once
access() {
  cat > "$lab/kube/new.conf" <<CONF
current-context: lab
contexts: [{name: lab, context: {cluster: lab, user: me}}]
clusters: [{name: lab, cluster: {server: "$1", certificate-authority: "$2"${3:+, $3}}}]
users: [{name: me, user: {tokenFile: token}}]
CONF
  mv "$lab/kube/new.conf" "$lab/kube/agent.conf"
}
named() { until_true 60 says "$1" || fail "expected '$1', got: $(problems)"; note "named: $(problems | head -1 | cut -c 1-150)"; }
server=https://$(lab_ip control 4):6443 ca=$lab/kube/ca.crt
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=other -keyout "$lab/kube/other.key" \
  -out "$lab/kube/other.crt" 2> /dev/null

echo bad-token > "$lab/kube/token"
access "$server" "$ca"
kube_agent a
named 'API server says 401'
note "the token rotates into a good one"
echo good-token > "$lab/kube/token"
until_true 60 node_ready a || fail "the new token is not read: $(problems)"
until_true 5 well || fail "$(problems)"
lab_pod a a1

# From here on pools are known, so each mistake is a problem and no more. The server's end makes the agent ask again.
api_down
access "$server" "$lab/kube/other.crt"
api_up
named 'its certificate is not to be trusted'
access "$server" "$ca" 'tls-server-name: other.example'
named 'not to be trusted for "other.example": it is for another name'
access "$server" "$lab/kube/missing.crt"
named 'missing.crt'
background garbage b busybox nc -l -p 6443 -e /bin/cat /proc/uptime
access "http://$(lab_ip b 4):6443" "$ca"
named 'bad version'
works a1 a
node_ready a || fail "the node is not ready although its pools are known"

note "right again"
access "$server" "$ca"
until_true 60 well || fail "still: $(problems)"
node_object c 9 '["10.77.9.0/24"]' '["192.0.2.9"]' | kubectl create -f - > /dev/null
eventually 5 '[ -n "$(ip -n "$lab_prefix-a" route show 10.77.9.0/24)" ]' || fail "the nodes are not followed"
lacks "the log" good-token "$(cat "$lab/a/agent.log")"
