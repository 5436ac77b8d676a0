#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The plugin is killed at every one of its system calls, in ADD and in DEL: the agent undoes or finishes it by itself,
# and DEL afterwards always succeeds.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/steps.bash"
open_lab
nodes a b
agent a
lab_namespace p
plugin ADD a p && plugin DEL a p || fail "$answer"
remember a "$lab/before"
fds=$(descriptors a)

plugin ADD a p strace -f -o "$lab/trace.add" || fail "ADD: $answer"
cp "$lab/stdout" "$lab/result"
remember a "$lab/ready"
plugin DEL a p strace -f -o "$lab/trace.del" || fail "DEL: $answer"
steps "$lab/trace.add" | thinned > "$lab/steps.add"
steps "$lab/trace.del" | thinned > "$lab/steps.del"
note "$(wc -l < "$lab/steps.add") steps of ADD, $(wc -l < "$lab/steps.del") of DEL"
same_world a "$lab/before"

killed=0
while read -r name n <&3; do
  status=0
  plugin ADD a p strace -f -o /dev/null -e "inject=$name:signal=KILL:when=$n" || status=$?
  [ "$status" -ge 128 ] && killed=$((killed + 1))
  # Either nothing is left, or the pod is complete (killed after the commit); never something in between.
  eventually 2 'world_is a "$lab/before" || [ "$(ctl a endpoints | jq -r ".. | objects | .state? // empty")" = ready ]' ||
    { diff "$lab/before" <(world_of a | sort) || true; fail "ADD killed at $name $n: half a pod is left"; }
  plugin DEL a p || fail "DEL after ADD was killed at $name $n: $answer"
  same_world a "$lab/before"
  no_device_in p || fail "ADD killed at $name $n, DEL: the pod's device is left"
done 3< "$lab/steps.add"
note "ADD killed $killed times"
at_least "kills of ADD" $(($(wc -l < "$lab/steps.add") * 8 / 10)) "$killed"

killed=0
while read -r name n <&3; do
  plugin ADD a p || fail "ADD before the kill of DEL at $name $n: $answer"
  status=0
  plugin DEL a p strace -f -o /dev/null -e "inject=$name:signal=KILL:when=$n" || status=$?
  [ "$status" -ge 128 ] && killed=$((killed + 1))
  plugin DEL a p || fail "DEL after DEL was killed at $name $n: $answer"
  same_world a "$lab/before"
  no_device_in p || fail "DEL killed at $name $n, DEL: the pod's device is left"
done 3< "$lab/steps.del"
note "DEL killed $killed times"
at_least "kills of DEL" $(($(wc -l < "$lab/steps.del") * 8 / 10)) "$killed"

equal "open files of the agent" "$fds" "$(descriptors a)"
plugin ADD a p || fail "ADD at last: $answer"
