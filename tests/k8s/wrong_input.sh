#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What an agent may be given in place of a kubeconfig, of credentials, of an API server: each is named in `netkite status` and
# in the log, is tried again with pauses that grow, makes the agent no larger and costs pods no packet. access.sh and nodes.sh
# have more of it.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
open_lab
nodes a b control
control_up
problems() { ctl a status | jq -r '.problems[]'; }
says() { [[ $(problems) = *"$1"* ]]; }
well() { [ -z "$(problems)" ]; }
for n in 1 2; do node_object "$([ "$n" = 1 ] && echo a || echo b)" "$n" | kubectl create -f - > /dev/null; done
for node in a b; do kube_agent "$node"; done
for node in a b; do until_true 20 node_ready "$node" || fail "node $node is not ready"; done
lab_pod a a1
lab_pod a a2
lab_pod b b1
works a1 b1
for to in a2 b1; do lab_start "ping-$to" a1 ping -q -n -i 0.05 "$(lab_ip "$to" 4)"; done

# given WHAT PART: an agent that starts with what is in agent.conf now names PART.
given() {
  local log
  lab_agent_stop a
  log=$(wc -c < "$lab/a/agent.log")
  kube_agent a
  until_true 40 says "$2" || fail "$1: expected '$2', got: $(problems)"
  contains "$1: the log" "$2" "$(tail -c +"$log" "$lab/a/agent.log")"
  until_true 5 node_ready a || fail "$1: the node is not ready although its pools are known: $(problems)"
  note "$1: $(problems | head -1 | cut -c 1-150)"
}
good=$(jq -nc --arg server "https://$(lab_ip control 4):6443" --arg ca "$lab/kube/ca.crt" --arg me "$lab/kube/agent.conf" '{"current-context": "lab",
  contexts: [{name: "lab", context: {cluster: "lab", user: "me"}}], clusters: [{name: "lab", cluster: {$server, "certificate-authority": $ca}}],
  users: [{name: "me", user: {"client-certificate": "\($me).crt", "client-key": "\($me).key"}}]}')
# in_conf JQ-FILTER: the good kubeconfig, changed
in_conf() { jq "$@" <<< "$good" > "$lab/kube/new.conf" && mv "$lab/kube/new.conf" "$lab/kube/agent.conf"; }

note "kubeconfigs"
: > "$lab/kube/agent.conf"
given "an empty one" 'it is not a mapping'
head -c 5000 /dev/urandom > "$lab/kube/agent.conf"
given "noise" 'no kubeconfig'
in_conf '."current-context" = "other"'
given "no such context" 'contexts has no entry "other"'
in_conf '.contexts[0].context.user = "you"'
given "no such user" 'users has no entry "you"'
in_conf '.users[0].user.exec = {command: "/bin/false"}'
given "a program for credentials" '"exec" is not supported'
in_conf '.clusters[0].cluster.server = "control:6443"'
given "no URL" 'begins with neither https:// nor http://'
in_conf '.clusters[0].cluster."insecure-skip-tls-verify" = true'
given "nobody is to be checked" 'insecure-skip-tls-verify: refused'
in_conf '.users[0].user."client-key" = "'"$lab"'/kube/admin.conf.key"'
given "somebody else's key" 'client key'

note "credentials"
certificate late /CN=system:serviceaccount:kube-system:netkite-agent '' 0
in_conf '.users[0].user = {"client-certificate": "late.crt", "client-key": "late.key"}'
given "a certificate that has expired" 'API server says 401'
kubectl create --raw /api/v1/namespaces/kube-system/serviceaccounts/netkite-agent/token -f - \
  <<< '{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}' | jq -j .status.token > "$lab/kube/token"
in_conf '.users[0].user = {tokenFile: "token"}'
lab_agent_stop a
kube_agent a
until_true 20 well || fail "a service account's own token: $(problems)"
kubectl --namespace kube-system delete serviceaccount netkite-agent > /dev/null
# The server remembers for ten seconds that it was good.
asked_anew() { lab_agent_stop a; kube_agent a; until_true 4 says 401; }
until_true 40 asked_anew || fail "a token that is good no more is not named: $(problems)"
given "a token that is good no more" 'API server says 401'
lacks "the log" "$(cat "$lab/kube/token")" "$(cat "$lab/a/agent.log")"

# Node b is in the place of the API server, each time on a port of its own, PORT in the command: instead SCHEME command…
port=7000
instead() {
  port=$((port + 1))
  in_conf --arg server "$1://$(lab_ip b 4):$port" '.clusters[0].cluster.server = $server'
  [ ! -e "$lab/jobs/instead.pid" ] || lab_end_process "$(cat "$lab/jobs/instead.pid")" KILL
  set -- "${@/PORT/$port}"
  background instead b "${@:2}"
}
# A question's answer is what this piece of bash prints: answers BASH
answers() {
  cat > "$lab/answer" <<SCRIPT
while read -r line && [ "\$line" != \$'\r' ]; do :; done
echo >> "$lab/asked"
$1
SCRIPT
  instead http busybox nc -ll -p PORT -e /bin/bash "$lab/answer"
}
head='printf "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";'
certificate fake /CN=fake "IP:$(lab_ip b 4)"
certificate old /CN=old "IP:$(lab_ip b 4)" 0
tls() { instead https bash -c 'exec openssl s_server -quiet "$@" < <(sleep 1000)' _ -accept PORT -cert "$lab/kube/$1.crt" -key "$lab/kube/$1.key" "${@:2}"; }

note "servers"
tls old
given "a certificate that has expired" 'certificate has expired'
tls fake -www
given "a page for people" 'no JSON'
instead https busybox nc -ll -p PORT -e /bin/sleep 1000
given "silence in place of TLS" 'TLS handshake: no answer in time'
tls fake
given "silence in place of an answer" 'answer: no answer in time'
answers "$head"' echo "{"; sleep 1000'
given "silence amid the answer" 'answer: no answer in time'
answers 'printf "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"kind\": "'
given "an answer that breaks off" 'partial message'
answers "$head"' yes "[" | tr -d "\n"'
given "brackets without end" 'beyond our bounds'
answers "$head"' printf "{\"type\": \""; yes x | tr -d "\n"'
given "a word without end" 'beyond our bounds'
answers 'yes "X: y"'
given "nothing of HTTP" 'bad version'
answers 'printf "HTTP/1.1 200 OK\r\n"; yes $'"'X: y\\r'"
given "a head without end" 'header limit'
size=$(awk '/^VmHWM:/ { print $2 }' "/proc/$(lab_agent_pid a)/status")
note "the agent had at most $size KiB"
[ "$size" -lt 65536 ] || fail "the agent has grown to $size KiB"

note "errors without end: pauses grow, and the node goes on"
answers 'printf "HTTP/1.1 500 Oh\r\nContent-Length: 7\r\n\r\non fire"'
: > "$lab/asked"
given "errors" 'API server says 500: on fire'
begin=$SECONDS
while [ $((SECONDS - begin)) -lt 20 ]; do
  lab_pod a a3
  works a3 b1
  lab_unpod a a3
done
asked=$(wc -l < "$lab/asked")
note "asked $asked times in 20 s"
at_least "questions" 3 "$asked"
# Nodes and pods are two watches, each of which asks after 0.5, 1, 2, … seconds, or half of that: at most seven times.
[ "$asked" -le 14 ] || fail "asked $asked times in 20 s: the pauses do not grow"

note "everything is right again"
kubectl apply -f "$root/deploy/kubernetes/install.yaml" -l app.kubernetes.io/component=access > /dev/null
in_conf .
until_true 60 well || fail "still: $(problems)"
node_object c 9 '["10.77.0.0/16"]' '["192.0.2.9"]' | kubectl create -f - > /dev/null
until_true 10 says 'node c: podCIDRs: 10.77.0.0/16 overlaps 10.77.1.0/24' || fail "a range around our own: $(problems)"
works a1 b1
for to in a2 b1; do
  lab_finish "ping-$to" INT > /dev/null
  contains "pings from a1 to $to" ' 0% packet loss' "$(cat "$lab/jobs/ping-$to.out")"
done
