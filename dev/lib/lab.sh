# SPDX-License-Identifier: Apache-2.0
# A laboratory on the running kernel: nodes, pods and the outside world are network namespaces. Source it after common.sh.
#
#   lab_open                         work folder $lab; whatever is made from here on goes when the shell ends
#   lab_nodes a b                    nodes on one link with a world behind them (default route of both)
#   lab_nodes_direct a b             two nodes joined by one veth pair, nothing else
#   lab_agent NODE [JQ-FILTER]       start the node's agent; the filter changes its configuration ('.device = "veth"')
#   lab_agent_stop NODE [SIGNAL]     end it and wait
#   lab_pod NODE POD [CONF]          a namespace, and ADD by the real plugin (or by those of a CNI configuration)
#   lab_unpod NODE POD [CONF]        DEL, and the namespace goes
#   lab_ip POD|NODE 4|6              its address
#   lab_in NAME command…             run in the namespace of a node, a pod or the world
#   lab_start JOB NAME command…      run there in the background, return when it has said something
#   lab_finish JOB [SIGNAL]          wait for it (after a signal, if given) and print what it said last
#
# Node number n has the uplink eth0 with 192.0.2.n and 2001:db8::n, and the pod ranges 10.77.n.0/24 and fd77:n::/64.
# The world has $lab_world4 and $lab_world6, and no route to the pods: only masqueraded traffic comes back from it.
# Several laboratories may stand at once: their namespaces begin with $lab_prefix.
#
# An agent enters its namespace with nsenter, not `ip netns exec`: the latter mounts a new /sys over the bpffs.

lab_prefix=${LAB_PREFIX:-nk$$}
lab_world4=198.51.100.1 lab_world6=2001:db8:ffff::1
declare -A lab_number=()

# The build to take binaries from: $NETKITE_BUILD, else the first that has them.
lab_build() {
  local folder
  for folder in ${NETKITE_BUILD:+"$NETKITE_BUILD"} "$root/build/release" "$root/build/dev"; do
    [ -e "$folder/tests/tools/nk-probe" ] || continue
    echo "$folder"
    return
  done
  die "no build with the test tools: cmake --preset dev && cmake --build --preset dev (or set NETKITE_BUILD)"
}

lab_open() {
  lab=$(mktemp -d "${TMPDIR:-/tmp}/netkite-lab.XXXXXX")
  [ -e /run/netkite ] || lab_run_made=yes
  trap lab_close EXIT
  trap 'exit 130' INT TERM
  mkdir "$lab"/{bin,bpf,jobs,pods}
  mount -t bpf bpf "$lab/bpf"
  local build
  build=$(lab_build)
  ln -s "$build"/tests/tools/nk-{probe,cni,socket,wire} "$build"/tests/tools/{packet/nk-packet,foreign/nk-foreign} \
    "$build/cli/netkite" "$build/agent/app/netkite-agent" "$lab/bin"
  # Runtimes look for a plugin under its type's name.
  mkdir "$lab/cni"
  ln -s "$build/cni-plugin/netkite-cni" "$lab/cni/netkite"
  ln -s /usr/lib/cni/* "$lab/cni"
  PATH=$lab/bin:$PATH
  export CNI_PATH=$lab/cni
}

lab_close() {
  local status=$? file
  [ -n "${lab:-}" ] || return 0
  set +e
  for file in "$lab"/jobs/*.pid; do [ ! -e "$file" ] || lab_end_process "$(cat "$file")" TERM; done
  ip netns list | awk -v prefix="$lab_prefix-" 'index($1, prefix) == 1 { print $1 }' | xargs -r -n 1 ip netns delete
  umount "$lab/bpf"
  rm -rf "$lab"
  lab=
  lab_lower_rcu
  [ -z "${lab_run_made:-}" ] || rm -rf /run/netkite
  return "$status"
}

# What a killed agent has left raised, when no agent came after it that could take it back.
lab_lower_rcu() {
  local record=/run/netkite/rcu_expedited switch=/sys/kernel/rcu_expedited
  [ -s "$record" ] || return 0
  flock --nonblock "$record" bash -c 'echo $(($(cat "$2") - 1)) > "$2"; : > "$1"' - "$record" "$switch"
}

# Agents put back what they changed in the kernel when they are asked to end, so they get the time for it.
lab_end_process() {
  local pid=$1 signal=$2 i
  kill "-$signal" "$pid" 2>/dev/null || return 0
  for i in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  return 0
}

lab_path() { echo "/run/netns/$lab_prefix-$1"; }
lab_in() {
  local name=$1
  shift
  nsenter --net="$(lab_path "$name")" "$@"
}

lab_namespace() {
  ip netns add "$lab_prefix-$1"
  ip -n "$lab_prefix-$1" link set lo up
}

# <namespace> <device> <number>: the addresses of the link between the nodes, at once (no duplicate address detection).
# The link-local one is what neighbours are asked from when a packet is forwarded.
lab_uplink() {
  local ns=$lab_prefix-$1
  ip -n "$ns" link set "$2" addrgenmode none
  ip -n "$ns" address add "192.0.2.$3/24" dev "$2"
  ip -n "$ns" address add "2001:db8::$3/64" dev "$2" nodad
  ip -n "$ns" address add "fe80::$3/64" dev "$2" nodad
  ip -n "$ns" link set "$2" up
}

lab_number_nodes() {
  local node n=0
  for node in "$@"; do
    n=$((n + 1))
    lab_number[$node]=$n
    mkdir -p "$lab/$node"
    lab_namespace "$node"
  done
}

lab_nodes_direct() {
  lab_number_nodes "$1" "$2"
  ip -n "$lab_prefix-$1" link add eth0 type veth peer name eth0 netns "$lab_prefix-$2"
  lab_uplink "$1" eth0 1
  lab_uplink "$2" eth0 2
}

lab_nodes() {
  local node world=$lab_prefix-world
  lab_namespace switch
  lab_namespace world
  ip -n "$lab_prefix-switch" link add bridge type bridge forward_delay 0
  ip -n "$lab_prefix-switch" link set bridge up
  lab_number_nodes "$@"
  for node in "$@" world; do
    ip -n "$lab_prefix-$node" link add eth0 type veth peer name "to-$node" netns "$lab_prefix-switch"
    ip -n "$lab_prefix-switch" link set "to-$node" master bridge up
    lab_uplink "$node" eth0 "${lab_number[$node]:-254}"
    [ "$node" != world ] || continue
    ip -n "$lab_prefix-$node" route add default via 192.0.2.254
    ip -n "$lab_prefix-$node" route add default via 2001:db8::254
  done
  ip -n "$world" address add "$lab_world4/32" dev lo
  ip -n "$world" address add "$lab_world6/128" dev lo nodad
}

# The agent's configuration of a node: the other nodes are its peers.
lab_config() {
  local node=$1 other n=${lab_number[$1]}
  for other in "${!lab_number[@]}"; do
    [ "$other" = "$node" ] || jq -n --arg name "$other" --arg n "${lab_number[$other]}" '{$name,
      addresses: ["192.0.2.\($n)", "2001:db8::\($n)"], pod_ranges: ["10.77.\($n).0/24", "fd77:\($n)::/64"]}'
  done | jq -s --arg node "$node" --arg n "$n" --arg run "$lab/$node/run" --arg bpf "$lab/bpf/$node" '{node_name: $node,
    run_dir: $run, bpffs: $bpf, uplinks: ["eth0"], pools: ["10.77.\($n).0/24", "fd77:\($n)::/64"], peers: .}'
}

lab_agent() {
  local node=$1 i
  lab_config "$node" | jq "${2:-.}" > "$lab/$node/agent.json"
  jq -n --arg socket "$lab/$node/run/agent.sock" '{cniVersion: "1.1.0", name: "netkite",
    plugins: [{type: "netkite", agentSocket: $socket}]}' > "$lab/$node/net.conflist"
  nsenter --net="$(lab_path "$node")" netkite-agent --config "$lab/$node/agent.json" >> "$lab/$node/agent.log" 2>&1 &
  echo $! > "$lab/jobs/agent-$node.pid"
  for i in $(seq $((400 * ${NETKITE_SLOW:-1}))); do
    nk-cni status --conf "$lab/$node/net.conflist" > /dev/null 2>&1 && return
    kill -0 "$(lab_agent_pid "$node")" 2>/dev/null || break
    sleep 0.05
  done
  cat "$lab/$node/agent.log" >&2
  die "the agent of node $node did not start: its log is above"
}

lab_agent_pid() { cat "$lab/jobs/agent-$1.pid"; }
lab_agent_stop() {
  lab_end_process "$(lab_agent_pid "$1")" "${2:-TERM}"
  rm "$lab/jobs/agent-$1.pid"
}

# nk-cni <verb> for a pod, from within its node.
lab_cni() {
  local verb=$1 node=$2 pod=$3
  lab_in "$node" nk-cni "$verb" --conf "${4:-$lab/$node/net.conflist}" --netns "$(lab_path "$pod")" \
    --container "$lab_prefix-$pod" --result "$lab/pods/$pod.json"
}

lab_pod() {
  lab_namespace "$2"
  lab_cni add "$@" > "$lab/pods/$2.out" || die "ADD of $2: $(cat "$lab/pods/$2.out")"
}

lab_unpod() {
  lab_cni del "$@" > "$lab/pods/$2.out" || die "DEL of $2: $(cat "$lab/pods/$2.out")"
  ip netns delete "$lab_prefix-$2"
}

lab_ip() {
  local name=$1 family=$2 separator=.
  [ "$family" = 4 ] || separator=:
  case $name in
    world) [ "$family" = 4 ] && echo "$lab_world4" || echo "$lab_world6" ;;
    *)
      if [ -n "${lab_number[$name]:-}" ]; then
        [ "$family" = 4 ] && echo "192.0.2.${lab_number[$name]}" || echo "2001:db8::${lab_number[$name]}"
      else
        jq -r --arg separator "$separator" '[.ips[].address | select(contains($separator))][0] | split("/")[0]' "$lab/pods/$name.json"
      fi
      ;;
  esac
}

lab_start() {
  local job=$1 name=$2 i
  shift 2
  # Not lab_in: a function in the background is a shell of its own, whose id is not the command's.
  nsenter --net="$(lab_path "$name")" "$@" > "$lab/jobs/$job.out" 2> "$lab/jobs/$job.err" &
  echo $! > "$lab/jobs/$job.pid"
  for i in $(seq 500); do
    [ ! -s "$lab/jobs/$job.out" ] || return 0
    kill -0 "$(cat "$lab/jobs/$job.pid")" 2>/dev/null || break
    sleep 0.02
  done
  die "$job did not start: $(cat "$lab/jobs/$job.err")"
}

lab_finish() {
  local pid
  pid=$(cat "$lab/jobs/$1.pid")
  [ -z "${2:-}" ] || kill "-$2" "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  # Within $(…) it is another shell's child, which cannot be waited for.
  while [ -e "/proc/$pid" ] && ! grep -qs '^State:.Z' "/proc/$pid/status"; do sleep 0.02; done
  rm "$lab/jobs/$1.pid"
  tail -n 1 "$lab/jobs/$1.out"
}
