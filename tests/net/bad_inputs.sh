#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a runtime may get wrong: the CNI error code, a message that names the field, and a node that is as it was.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
open_lab
nodes a b
agent a
lab_pod a a1
lab_namespace p
lab_namespace busy
ip -n nk-busy link add eth0 type veth peer name other
remember a "$lab/before"
ip -n nk-p -o link > "$lab/before.p"
cases=0

# bad CODE PART [NAME=VALUE…]: ADD with other variables or another configuration (conf='jq filter') is refused
bad() {
  local code=$1 part=$2 setting
  shift 2
  local container=p ifname=eth0 netns conf_filter=. cni_args= verb=${verb-ADD}
  netns=$(lab_path p)
  for setting in "$@"; do
    case $setting in
      conf=*) conf_filter=${setting#*=} ;;
      *) printf -v "${setting%%=*}" '%s' "${setting#*=}" ;;
    esac
  done
  note "$code $part: $*"
  refused "$code" "$part" "$verb" a p
  cmp -s "$lab/before.p" <(ip -n nk-p -o link) || fail "the pod's namespace changed: $(ip -n nk-p -o link)"
  cases=$((cases + 1))
}

# The environment.
for name in '' -x .x 'a b' a/b 'ü' "a'b" "$(printf 'a\tb')"; do bad 4 CNI_CONTAINERID container="$name"; done
for name in '' . .. a/b a:b 'a b' sixteen_chars_xx "$(printf 'a\nb')"; do bad 4 CNI_IFNAME ifname="$name"; done
bad any CNI_NETNS netns=
bad any CNI_NETNS netns=/nowhere/at/all
bad any CNI_NETNS netns=/etc/hostname
bad any CNI_NETNS netns=/run
bad any CNI_NETNS netns=/dev/null
bad any CNI_NETNS netns=/proc/self/ns/uts
bad any CNI_NETNS netns="$(lab_path a)"
bad any 'CNI_ARGS' cni_args=K8S_POD_NAME
bad any eth0 netns="$(lab_path busy)"

# The configuration.
bad 7 name conf='del(.name)'
bad 7 name conf='.name = ""'
bad 7 name conf='.name = "-x"'
bad 7 name conf='.name = "a b"'
bad any name conf='.name = 7'
bad any type conf='del(.type)'
bad 1 cniVersion conf='.cniVersion = "9.9.9"'
bad any cniVersion conf='.cniVersion = 1'
bad 7 agentSoket conf='.agentSoket = "/x"'
bad 7 mtu conf='.mtu = 1500'
bad any ipam conf='.ipam = {"type": "host-local"}'
bad any agentSocket conf='.agentSocket = 7'
bad any agentSocket conf='.agentSocket = ""'
bad 7 agentSocket conf=".agentSocket = \"/$(printf 'x%.0s' {1..200})\""
bad any runtimeConfig conf='.runtimeConfig = 7'
bad any ips conf='.runtimeConfig = {"ips": ["10.77.1"]}'
bad any ips conf='.runtimeConfig = {"ips": "10.77.1.9"}'
bad any 192.168.9.9 conf='.runtimeConfig = {"ips": ["192.168.9.9"]}'
bad any 10.77.1.0 conf='.runtimeConfig = {"ips": ["10.77.1.0"]}'
bad any "$(lab_ip a1 4)" conf=".runtimeConfig = {\"ips\": [\"$(lab_ip a1 4)\"]}"
bad any mac conf='.runtimeConfig = {"mac": "banana"}'
[ "$DEVICE" != netkit ] || bad 2 mac conf='.runtimeConfig = {"mac": "02:00:00:00:00:05"}'
bad any attachments verb=GC conf=.

# What is no configuration at all.
raw() {
  local code=$1 part=$2
  plugin_conf() { cat "$lab/raw"; }
  refused "$code" "$part" ADD a p
  cases=$((cases + 1))
}
conf_text=$(plugin_conf a)
for text in '' ' ' '{' '[]' 'null' '7' '"x"' '{"cniVersion": "1.1.0",}' "${conf_text}x" "${conf_text::-1}" "$(printf '\xff\xfe')"; do
  printf '%s' "$text" > "$lab/raw"
  note "input: ${text::40}"
  raw any ''
done
head -c 20000000 /dev/zero | tr '\0' ' ' > "$lab/raw"
note "20 MB of spaces"
raw any ''
{ head -c 300000 /dev/zero | tr '\0' '['; } > "$lab/raw"
note "300,000 open brackets"
raw any ''
rm "$lab/raw"
plugin_conf() { jq -c '{cniVersion, name} + .plugins[0]' "$lab/$1/net.conflist" | jq -c "${conf_filter:-.}"; }

# Verbs.
verb=add bad 4 CNI_COMMAND
verb=REMOVE bad 4 CNI_COMMAND
verb='' bad 4 CNI_COMMAND
verb=CHECK bad any ''     # of an attachment that is not there

# The agent away: ADD says try again, DEL succeeds; a stranger on its socket.
same_world a "$lab/before"
lab_agent_stop a TERM
bad 11 agent
conf_filter='.cniVersion = "1.1.0"' refused 50 agent STATUS a p
plugin DEL a p || fail "DEL with the agent away: $answer"
: > "$lab/file"
bad any agent conf=".agentSocket = \"$lab/file\""
agent a
same_world a "$lab/before"

# The pool is too small.
lab_agent_stop a TERM
lab_unpod a a1 || true
agent a '.pools = ["10.77.1.0/30"]'
for pod in q1 q2; do lab_namespace "$pod"; plugin ADD a "$pod" || fail "ADD $pod: $answer"; done
remember a "$lab/full"
bad any 10.77.1.0/30
conf_filter='.cniVersion = "1.1.0"' refused 51 address STATUS a p
same_world a "$lab/full"
plugin DEL a q1 || fail "DEL q1: $answer"
plugin ADD a p || fail "ADD after an address became free: $answer"
note "$cases bad inputs"
at_least "bad inputs" 60 "$cases"
