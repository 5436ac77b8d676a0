#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The DaemonSet is brought from the former commit's image to this one's, node by node, under numbered datagrams and TCP
# streams between pods of two nodes and between a node and a pod: no datagram is lost, no stream breaks, no pod is touched.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
. "$(dirname "$0")/daemonset.bash"
first_build=${NETKITE_FORMER:-}   # of the commit before; dev/test makes it
note "from ${first_build:-this build} to this build"
rate=2000 seconds=240   # at most: the senders are told when it is over
bare_cluster
install_netkite
echo_deployment 4 | kubectl create -f - > /dev/null
eventually 60 '[ "$(ready_pods app=echo)" = 4 ]' || fail "$(ready_pods app=echo) of 4 pods are Ready: $(kubectl describe pods | tail -20)"

# One pod of each node: its address of a family, and a command in its network namespace with this machine's files.
pod_of() { netkite_on "$1" endpoints | jq '[.endpoints[] | select(.pod_namespace == "default")][0]'; }
declare -A space=() address=()
for node in a b; do
  pod=$(pod_of "$node")
  space[$node]=$(jq -r .netns <<< "$pod")
  address[$node-4]=$(jq -r '[.addresses[] | select(contains("."))][0]' <<< "$pod")
  address[$node-6]=$(jq -r '[.addresses[] | select(contains(":"))][0]' <<< "$pod")
done
# in_pod_start JOB NODE command…: in the background, until it has said something
in_pod_start() {
  local job=$1 node=$2
  shift 2
  on_background "$job" "$node" nsenter --net="${space[$node]}" "$@"
  until_true 10 test -s "$lab/$node/$job.log" || fail "$job did not start"
}
senders=()
send() {
  local name=$1 node=$2
  shift 2
  nsenter --target "$(cat "$lab/jobs/space-$node.pid")" --mount --net "$@" > "$lab/jobs/send-$name.out" &
  senders+=("$name:$!")
}
flow() {
  local name=$1 from=$2 to=$3 family=$4 port=$5
  in_pod_start "recv-$name" "$to" nk-probe udp-recv "$port" --bind "${address[$to-$family]}" --seconds $((seconds + 60))
  send "$name" "$from" "${@:6}" nk-probe udp-send "${address[$to-$family]}" "$port" --rate "$rate" --seconds "$seconds"
}
stream() { send "$1" "$2" "${@:5}" nk-probe stream "${address[$3-$4]}" 5000 --seconds "$seconds" --timeout 10 --pace 4000000; }
for node in a b; do in_pod_start "serve-$node" "$node" nk-probe serve --tcp 5000; done
flow pods4 a b 4 6001 nsenter --net="${space[a]}"
flow pods6 b a 6 6002 nsenter --net="${space[b]}"
flow node4 a b 4 6003
stream stream4 a b 4 nsenter --net="${space[a]}"
stream stream6 b a 6

note "another image"
before=$(in_system get pods -l app.kubernetes.io/name=netkite -o name | sort)
in_system set image daemonset/netkite "*=$next_image"
rolled_out || fail "the new image does not get ready: $(why_not)"
equal "agents of the former image" 0 "$(in_system get pods -l app.kubernetes.io/name=netkite -o json |
  jq --arg image "$next_image" '[.items[].spec.containers[] | select(.image != $image)] | length')"
equal "agents that stayed" "" "$(comm -12 <(echo "$before") <(in_system get pods -l app.kubernetes.io/name=netkite -o name | sort))"
for sender in "${senders[@]}"; do
  kill -TERM "${sender#*:}" 2> /dev/null || fail "the traffic of ${sender%:*} ended before the agents were replaced: $(cat "$lab/jobs/send-${sender%:*}.out")"
done

for sender in "${senders[@]}"; do
  name=${sender%:*}
  wait "${sender#*:}" || fail "the sender of $name failed: $(cat "$lab/jobs/send-$name.out")"
  out=$(cat "$lab/jobs/send-$name.out")
  case $name in
    stream*)
      note "$name: $out"
      at_least "bytes of $name" 1000000 "$(jq .bytes <<< "$out")" ;;
    *)
      for node in a b; do [ ! -e "$lab/jobs/recv-$name-$node.pid" ] || to=$node; done
      wait "$(cat "$lab/jobs/recv-$name-$to.pid")" || true
      result=$(tail -n 1 "$lab/$to/recv-$name.log")
      note "$name: $out $result"
      equal "lost datagrams of $name" 0 "$(jq .lost <<< "$result")"
      equal "all numbers of $name known to the receiver" true "$(jq .complete <<< "$result")"
      at_least "datagrams of $name per second" $((rate * 9 / 10)) "$(jq '.sent / .seconds | floor' <<< "$out")" ;;
  esac
done
equal "pods that were restarted" 0 "$(pods_of app=echo | jq '[.items[].status.containerStatuses[].restartCount] | add')"
