# SPDX-License-Identifier: Apache-2.0
# Shared by the test scripts: tests/README.md says how to write one. Source it first; it gives the test namespaces of its
# own (dev/lib/isolate), the laboratory of dev/lib/lab.sh, and the words below.
#
#   nodes a b                    lab_nodes
#   agent NODE [JQ-FILTER]       start the node's agent, with $DEVICE; again after `lab_agent_stop`: a restart
#   services_lab                 open_lab, nodes a and b, Node objects for both in the folder $manifests, and $with_services: a filter for the
#                                agent of a node with Services; `put FILE` puts an object (standard input) beside them
#   put_slices NAME PORTS [POD…] a service's EndpointSlices, which say who serves; PORTS: their list (JSON)
#   hold, release                a connection that waits (below)
#   plugin VERB NODE POD [wrapper…]   one call of the plugin itself: answer in $answer, status returned
#   ctl NODE word…               the command-line tool, JSON output
#   works FROM TO [4|6]          TO answers FROM; both families when none is given
#   silent FROM TO [4|6]         it does not
#   world_of NODE                everything that a pod may leave behind on a node, as text
#   watch NS NAME EXPRESSION…    count packets in a namespace by nftables expressions; `seen NS NAME` prints the count
#   equal WHAT EXPECTED ACTUAL   contains WHAT PART TEXT   fail TEXT   skip TEXT
#   until_true SECONDS command…   eventually SECONDS 'CONDITION'
. "$(dirname "${BASH_SOURCE[0]}")/../dev/lib/common.sh"
[ "${NETKITE_ISOLATED:-}" = yes ] || exec "$root/dev/lib/isolate" "$0" "$@"
LAB_PREFIX=nk
. "$root/dev/lib/lab.sh"

DEVICE=${DEVICE:-veth}
slow=${NETKITE_SLOW:-1}   # 1 on this machine; emulation is slower by about this factor
both='4 6'

# The innermost place outside this file.
where() {
  local i
  for ((i = 1; i < ${#BASH_SOURCE[@]}; i++)); do
    [[ ${BASH_SOURCE[i]} = */lib.sh ]] || { echo "${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]}"; return; }
  done
}
note() { printf -- '-- %s\n' "$*"; }
fail() {
  local log
  trap - ERR
  for log in "$lab"/*/agent.log; do [ ! -s "$log" ] || { echo "last lines of $log:"; tail -n 15 "$log"; }; done
  printf 'FAIL at %s: %s\n' "$(where)" "$*"
  exit 1
}
skip() { trap - ERR; printf '%s\n' "$*"; exit 77; }
# An unexpected failure says where it happened.
set -E
trap 'code=$?; trap - ERR; printf "FAIL at %s: exit %s from: %s\n" "${BASH_SOURCE[0]##*/}:$LINENO" "$code" "$BASH_COMMAND"' ERR

equal() { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }
contains() { [[ $3 = *"$2"* ]] || fail "$1: '$2' is not in: $3"; }
lacks() { [[ $3 != *"$2"* ]] || fail "$1: '$2' is in: $3"; }
at_least() { [ "$3" -ge "$2" ] || fail "$1: expected at least $2, got $3"; }
until_true() {
  local seconds=$1 end
  shift
  end=$((SECONDS + seconds * slow))
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.05
  done
}
# eventually SECONDS 'CONDITION': the condition is a piece of bash, evaluated until it holds.
holds() { eval "$1"; }
eventually() { until_true "$1" holds "$2"; }
# A count that takes the machine's speed into account: scaled 1000 -> 1000, 200 where it is five times slower.
scaled() { echo $(($1 / slow > 0 ? $1 / slow : 1)); }

open_lab() {
  local build
  lab_open
  trap close_lab EXIT
  build=$(lab_build)
  PATH=$PATH:$build/tests/tools/foreign:$build/tests/tools/packet
}
# A script that needs more taken down sets `at_close` to a command.
close_lab() {
  local code=$?
  trap - ERR
  set +e
  ${at_close:-true}
  lab_close
  exit "$code"
}
nodes() { lab_nodes "$@"; }
agent() {
  lab_agent "$1" ".device = \"$DEVICE\" | .datapath = {compile: \"embedded\", cache_dir: \"$lab/$1/cache\", source_dir: \"$root/bpf\"} | ${2:-.}"
}
agent_again() { lab_agent_stop "$1" "${3:-TERM}"; agent "$1" "${2:-.}"; }

# The machine's other processes are none of ours: the sockets of a node here are those of a control group, $group.
services_lab() {
  local hierarchy node name=${0##*/}
  hierarchy=$(unified_hierarchy)
  [ -n "$hierarchy" ] || skip "no version 2 hierarchy of control groups: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
  open_lab
  group=$hierarchy/netkite-${name%.sh}-$$
  mkdir -p "$group"
  at_close="clear_cgroups ${group##*/}"
  nodes a b
  manifests=$lab/manifests
  mkdir "$manifests"
  for node in a b; do
    jq -n --arg name "$node" --argjson n "${lab_number[$node]}" '{apiVersion: "v1", kind: "Node", metadata: {$name},
      spec: {podCIDRs: ["10.77.\($n).0/24", "fd77:\($n)::/64"]},
      status: {addresses: ["192.0.2.\($n)", "2001:db8::\($n)" | {type: "InternalIP", address: .}]}}' | put "$node.json"
  done
  with_services='del(.pools, .peers) | .kubernetes = {enabled: true, manifests: "'$manifests'"} |
    .services = {enabled: true, cgroup: "'$group'"}'
}
# In place at once: the folder is watched.
put() { cat > "$lab/new" && mv "$lab/new" "$manifests/$1"; }
put_slices() {
  local name=$1 ports=$2 family pod
  shift 2
  for family in $both; do
    for pod in "$@"; do echo "$(lab_ip "$pod" "$family") ${pod%?}"; done |
      jq -R 'split(" ") | {addresses: [.[0]], nodeName: .[1], conditions: {ready: true}}' |
      jq -s --arg name "$name" --arg family "$family" --argjson ports "$ports" '{apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice",
        metadata: {name: "\($name)-\($family)", labels: {"kubernetes.io/service-name": $name}}, addressType: "IPv\($family)",
        endpoints: ., $ports}' | put "slice-$name-$family.json"
  done
}

# hold JOB FROM ADDRESS PORT: a connection that says nothing until `release JOB`, which prints what has become of it then
hold() {
  lab_start "$1" "$2" bash -c 'trap "" PIPE
    exec 3<> "/dev/tcp/$0/$1" && echo open
    until [ -e "$2" ]; do sleep 0.1; done
    printf x >&3
    sleep 1
    { printf x >&3; } 2> /dev/null && echo open || echo broken' "$3" "$4" "$lab/$1"
}
release() { touch "$lab/$1"; lab_finish "$1"; }

# The usual laboratory: two nodes with agents, pods a1 and a2 on node a, b1 on node b.
usual_lab() {
  open_lab
  nodes a b
  agent a "${1:-.}"
  agent b "${1:-.}"
  lab_pod a a1
  lab_pod a a2
  lab_pod b b1
}

ctl() { lab_in "$1" netkite --socket "$lab/$1/run/agent.sock" --output json "${@:2}"; }

# The network configuration of a node as the plugin reads it; $conf_filter changes it.
plugin_conf() { jq -c '{cniVersion, name} + .plugins[0]' "$lab/$1/net.conflist" | jq -c "${conf_filter:-.}"; }
answer=
plugin() {
  local verb=$1 node=$2 pod=$3 status=0
  shift 3
  plugin_conf "$node" > "$lab/stdin"
  lab_in "$node" env -i PATH="$PATH" CNI_COMMAND="$verb" CNI_CONTAINERID="${container-$pod}" CNI_NETNS="${netns-$(lab_path "$pod")}" \
    CNI_IFNAME="${ifname-eth0}" CNI_ARGS="${cni_args:-}" CNI_PATH="$CNI_PATH" "$@" "$CNI_PATH/netkite" \
    < "$lab/stdin" > "$lab/stdout" 2> "$lab/stderr" || status=$?
  answer=$(cat "$lab/stdout")
  return "$status"
}
# The plugin must refuse: refused CODE|100+|any PART VERB NODE POD [wrapper…]
refused() {
  local code=$1 part=$2
  shift 2
  if plugin "$@"; then fail "$1 was expected to fail with code $code ($part), and answered: $answer"; fi
  local got
  got=$(jq -r .code <<< "$answer") || fail "$1 did not answer with JSON: $answer"
  case $code in
    100+) [ "$got" -ge 100 ] || fail "the error code of $1: $answer" ;;
    any) ;;
    *) equal "the error code of $1: $answer" "$code" "$got" ;;
  esac
  contains "the message of $1" "$part" "$(jq -r '"\(.msg) \(.details // "")"' <<< "$answer")"
}

ping_once() { lab_in "$1" ping -q -n -c 1 -W "$3" "$(lab_ip "$2" "$4")" > /dev/null 2>&1; }
works() {
  local family
  for family in ${3:-$both}; do
    until_true 3 ping_once "$1" "$2" 1 "$family" || fail "$1 gets no answer from $2 over IPv$family"
  done
}
silent() {
  local family
  for family in ${3:-$both}; do
    ! ping_once "$1" "$2" 0.3 "$family" || fail "$1 got an answer from $2 over IPv$family"
  done
}

host_device() { ctl "$1" endpoints | jq -r --arg id "$lab_prefix-$2" '.. | objects | select(.container_id? == $id) | .host_ifname'; }
# Nothing is attached to the hook but, on a veth, the backstop, which has no link.
no_links() { ! lab_in "$1" nk-foreign ids "$2" "$3" | grep -qv ' 0$'; }
gateway_mac() { ip -n "$lab_prefix-$1" -j neigh show nud permanent | jq -r '[.[].lladdr][0] // empty'; }
# craft POD KIND SOURCE DESTINATION [COUNT]: a packet past the pod's own stack
declare -A mac_of=()
craft() {
  [ -n "${mac_of[$1]+known}" ] || mac_of[$1]=$(gateway_mac "$1")
  lab_in "$1" nk-packet eth0 "$2" "$3" "$4" "${5:-1}" ${mac_of[$1]:+"${mac_of[$1]}"}
}
drops() { ctl "$1" drops | jq -r --arg reason "$2" '[.. | objects | select(.reason? == $reason) | .packets] | add // 0'; }

watch() {
  local ns=$lab_prefix-$1 name=$2 expression
  shift 2
  {
    echo 'add table inet watch; add chain inet watch seen { type filter hook prerouting priority -400; }'
    echo "add counter inet watch $name"
    for expression in "$@"; do echo "add rule inet watch seen $expression counter name $name"; done
  } | ip netns exec "$ns" nft -f -
}
seen() { ip netns exec "$lab_prefix-$1" nft -j list counter inet watch "$2" | jq '.nftables[] | .counter? // empty | .packets'; }

world_of() {
  local node=$1 ns=$lab_prefix-$1
  ip -n "$ns" -o link show | sed -E 's/^[0-9]+: ([^:@]+).*/link \1/'
  ip -n "$ns" -o address show | awk '{ print "address", $2, $4 }'
  { ip -n "$ns" -4 route show table all; ip -n "$ns" -6 route show table all; } | sed -E 's/ *expires [^ ]+//; s/^/route /'
  ip -n "$ns" neigh show nud permanent | sed 's/^/neighbour /'
  find "$lab/bpf/$node" -type f 2>/dev/null | sed "s|$lab/bpf/|pin |"
  { find "$lab/$node/run" -mindepth 2 -type f 2>/dev/null || true; } | sed "s|$lab/|state |"
  lab_in "$node" nft list table inet netkite 2>/dev/null | sed 's/^/nft /' || true
  [ "${2:-}" = no-agent ] || ctl "$node" status | jq -r '.maps[]? | select(.entries != null and (.name | test("deny") | not)) | "map \(.name) \(.entries)"'
}
# Waits until a node looks as it did: same_world NODE FILE [no-agent]
same_world() {
  until_true "${wait_for:-3}" world_is "$@" && return
  diff "$2" <(world_of "$1" "${3:-}" | sort) || true
  fail "node $1 is not as it was before (above: < before, > now)"
}
world_is() { cmp -s "$2" <(world_of "$1" "${3:-}" | sort); }
remember() { world_of "$1" "${3:-}" | sort > "$2"; }
descriptors() { find "/proc/$(lab_agent_pid "$1")/fd" -mindepth 1 | wc -l; }
# talk HOW ADDRESS PORT [COUNT] [FROM]: a line for each answer, which begins with the server's name
talk() {
  local i
  for ((i = 0; i < ${4:-1}; i++)); do echo "$2 $3"; done | lab_in "${5:-world}" nk-socket talk "$1"
}
# The servers of such lines.
names() { sed 's/ .*//' | sort -u | paste -sd ' '; }
# asks_in_pieces FROM ADDRESS PORT: a datagram of 3000 bytes gets an answer, which `watch FROM answers` counts. Where the overlay takes
# a part of the MTU, the first ones only find that out.
asks_in_pieces() { until_true 5 piece_answered "$@" "$(seen "$1" answers)"; }
piece_answered() { lab_in "$1" bash -c "printf %03000d 0 > /dev/udp/$2/$3"; sleep 0.1; [ "$(seen "$1" answers)" -gt "$4" ]; }
# talks_in_pieces NAME FROM PORT ADDRESS…: the server NAME says more than a packet holds, and is told so; for as long
talks_in_pieces() {
  local who=$1 from=$2 port=$3 address
  shift 3
  lab_start "serve-$who" "$who" nk-socket serve 8080 "$who$(printf %03000d 0)"
  for address in "$@"; do
    eventually 5 '[[ $(talk connected "$address" "$port" 1 "$from") = ${who}000* ]]' || fail "an answer of 3000 bytes of $who at $address: $(talk connected "$address" "$port" 1 "$from")"
    asks_in_pieces "$from" "$address" "$port" || fail "a question of 3000 bytes to $who at $address"
  done
  lab_finish "serve-$who" TERM > /dev/null
  lab_start "serve-$who" "$who" nk-socket serve 8080 "$who"
}
# Where control groups of version 2 are, or nothing.
unified_hierarchy() { awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts; }
# Runtimes leave control groups, which belong to the whole machine: clear_cgroups NAME
clear_cgroups() {
  local procs
  find /sys/fs/cgroup -path "*$1*" -name cgroup.procs 2> /dev/null | while read -r procs; do
    { xargs -r kill -KILL < "$procs"; } 2> /dev/null || true
  done
  until_true 3 rmdir_cgroups "$1" || true
}
rmdir_cgroups() {
  find /sys/fs/cgroup -depth -type d -path "*$1*" -exec rmdir {} + 2> /dev/null || true
  [ -z "$(find /sys/fs/cgroup -type d -path "*$1*" 2> /dev/null)" ]
}
