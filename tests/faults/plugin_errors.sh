#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every system call of the plugin that can fail does so, one at a time: ADD answers with an error and leaves nothing, or
# succeeds although; DEL cleans up or says why not, and the next DEL does.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/steps.bash"
open_lab
nodes a b
agent a
lab_namespace p
plugin ADD a p && plugin DEL a p || fail "$answer"
remember a "$lab/before"

plugin ADD a p strace -f -o "$lab/trace.add" || fail "ADD: $answer"
plugin DEL a p strace -f -o "$lab/trace.del" || fail "DEL: $answer"
names='openat|fstat|newfstatat|statfs|fstatfs|socket|bind|connect|sendto|sendmsg|recvmsg|recvfrom|setns|poll|ppoll|read|setsockopt|getsockopt|getsockname|flock|mkdir|rename|fsync|unlink|write'
error_of() {
  case $1 in
    socket) echo EMFILE ;; openat) echo EACCES ;; connect) echo ECONNREFUSED ;; setns) echo EPERM ;;
    sendto | sendmsg) echo ENOBUFS ;; recvmsg | recvfrom) echo ENOMEM ;; write) echo EPIPE ;; *) echo EIO ;;
  esac
}

failed=0 left=()
while read -r name n <&3; do
  if plugin ADD a p strace -f -o "$lab/trace" -e "inject=$name:error=$(error_of "$name"):when=$n"; then
    if [ -n "$answer" ]; then jq -e '.ips | length == 2' <<< "$answer" > /dev/null || fail "ADD with $name $n failing: $answer"
    else [ "$name" = write ] || fail "ADD with $name $n failing succeeds without a result"; fi
    plugin DEL a p || fail "DEL after $name $n: $answer"
  else
    failed=$((failed + 1))
    if [ -n "$answer" ]; then jq -e '.code > 0 and (.msg | length > 0)' <<< "$answer" > /dev/null || fail "ADD with $name $n failing: $answer"
    else [ "$name" = write ] || [ "$name" = read ] || fail "ADD with $name $n failing says nothing"; fi
    if ! until_true 2 no_device_in p || ! until_true 2 world_is a "$lab/before"; then
      note "left after ADD with $name $n failing: $answer"
      diff "$lab/before" <(world_of a | sort) || true
      left+=("$name $n")
      plugin DEL a p || fail "DEL after $name $n: $answer"
    fi
  fi
  wait_for=2 same_world a "$lab/before"
done 3< <(steps "$lab/trace.add" '' "$names" | thinned)
note "ADD failed $failed times"
at_least "failures of ADD" 5 "$failed"

failed=0
while read -r name n <&3; do
  plugin ADD a p || fail "ADD before DEL with $name $n failing: $answer"
  if ! plugin DEL a p strace -f -o "$lab/trace" -e "inject=$name:error=$(error_of "$name"):when=$n"; then
    failed=$((failed + 1))
    [ -z "$answer" ] || jq -e '.code > 0 and (.msg | test("not found") | not)' <<< "$answer" > /dev/null || fail "DEL with $name $n failing: $answer"
    plugin DEL a p || fail "DEL again after $name $n: $answer"
  fi
  wait_for=2 same_world a "$lab/before"
  no_device_in p || fail "DEL with $name $n failing: the pod's device is left"
done 3< <(steps "$lab/trace.del" '' "$names" | thinned)
note "DEL failed $failed times"
equal "steps of ADD whose failure leaves something behind" '' "${left[*]}"
