#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whatever is missing, a pod's device stays shut: no program yet, agent dead between create and attach, pins removed and
# links closed, an attach that fails, a full map. Counted where packets would arrive, in both directions and families.
# devices: netkit netkit-l2 veth
. "$(dirname "$0")/../lib.sh"
command -v strace > /dev/null || skip "no strace: dev/setup lab installs it"
usual_lab

watch_all() {
  local from4=$1 from6=$2 pod=$3 receiver
  for receiver in a2 b1 a b world; do watch "$receiver" "$tag" "ip saddr $from4"; watch_more "$receiver" "ip6 saddr $from6"; done
  watch "$pod" "$tag" 'iifname "eth0"'
}
watch_more() { ip netns exec "nk-$1" nft "add rule inet watch seen $2 counter name $tag"; }

# Everything that can be tried, from the pod and to it. The pod's owner is root in there and raises the device himself.
storm() {
  local pod=$1 from4=$2 from6=$3 target jobs=()
  for target in a2 b1 a b world; do
    craft "$pod" udp "$from4" "$(lab_ip "$target" 4)" 5 2> /dev/null || true
    craft "$pod" echo "$from6" "$(lab_ip "$target" 6)" 5 2> /dev/null || true
    lab_in "$pod" ping -q -n -c 2 -i 0.05 -w 1 "$(lab_ip "$target" 4)" > /dev/null 2>&1 & jobs+=($!)
    lab_in "$pod" ping -q -n -c 2 -i 0.05 -w 1 "$(lab_ip "$target" 6)" > /dev/null 2>&1 & jobs+=($!)
    [ "$target" != world ] || continue
    lab_in "$target" ping -q -n -c 2 -i 0.05 -w 1 "$from4" > /dev/null 2>&1 & jobs+=($!)
    lab_in "$target" ping -q -n -c 2 -i 0.05 -w 1 "$from6" > /dev/null 2>&1 & jobs+=($!)
  done
  wait "${jobs[@]}" 2> /dev/null || true
}

round=0
# shut POD ADDRESS4 ADDRESS6 [HOST-DEVICE]: 0 packets out, 0 in
shut() {
  local pod=$1 receiver
  round=$((round + 1)) tag=shut$round
  watch_all "$2" "$3" "$pod"
  if [ -n "${4:-}" ]; then watch_more a "iifname \"$4\""; fi
  storm "$pod" "$2" "$3"
  for receiver in a2 b1 a b world; do
    equal "$state: packets of $pod that arrived at $receiver" 0 "$(seen "$receiver" "$tag")"
  done
  equal "$state: packets that reached $pod" 0 "$(seen "$pod" "$tag")"
}
# The same storm is noticed when the device is open.
open() {
  round=$((round + 1)) tag=open$round
  watch_all "$2" "$3" "$1"
  storm "$1" "$2" "$3"
  at_least "$state: packets of $1 that arrived at a2" 4 "$(seen a2 "$tag")"
  at_least "$state: packets of $1 that arrived at b1" 4 "$(seen b1 "$tag")"
  at_least "$state: packets that reached $1" 4 "$(seen "$1" "$tag")"
}
state='all well'
open a1 "$(lab_ip a1 4)" "$(lab_ip a1 6)"

# --- No program: the agent hangs when the plugin has built the pair and asks for programs.
state='no program attached'
remember a "$lab/before"
lab_namespace p
# In slow motion, so that there is time to stop the agent between the answer to prepare and the request to commit.
plugin ADD a p strace -f -o "$lab/trace" -e inject=all:delay_enter=$((20000 * slow)) &
adding=$!
has_device() { [ -n "$(lab_in p ip -o link show dev eth0 2> /dev/null)" ]; }
until_true 20 has_device || fail "the pair does not appear"
kill -STOP "$(lab_agent_pid a)"
eventually 10 '[ "$(lab_in p ip -o -6 address show dev eth0 scope global | wc -l)" != 0 ]' || fail "no IPv6 address in the pod"
from4=$(lab_in p ip -j -4 address show dev eth0 | jq -r '.[0].addr_info[0].local')
from6=$(lab_in p ip -j -6 address show dev eth0 | jq -r '.[0].addr_info[0].local')
host=$(ip -n nk-a -o link show | sed -E 's/^[0-9]+: ([^:@]+).*/\1/' | grep -vxFf <(sed -n 's/^link //p' "$lab/before"))
note "$from4 $from6 behind $host"
lab_in p ip link set eth0 up
for family in $both; do lab_in p ip "-$family" route replace default dev eth0 2> /dev/null || true; done
# netkit's own policy holds with both ends up. A veth's host end is the agent's to raise, and is down until the end of ADD.
if [ "$DEVICE" = veth ]; then
  equal "the state of the host's end" false "$(ip -n nk-a -j link show "$host" | jq '.[0].flags | contains(["UP"])')"
else
  ip -n nk-a link set "$host" up
  ip -n nk-a -4 route replace "$from4/32" dev "$host"
  ip -n nk-a -6 route replace "$from6/128" dev "$host"
fi
shut p "$from4" "$from6" "$host"

# --- Agent killed between create and attach.
state='agent killed between create and attach'
kill -KILL "$(lab_agent_pid a)"
shut p "$from4" "$from6" "$host"
! wait "$adding" || fail "ADD succeeded without an agent"
state='after the failed ADD'
! lab_in p ip link show eth0 > /dev/null 2>&1 || fail "the plugin left its device behind"
agent a
same_world a "$lab/before"
works a1 a2
works a1 b1


# --- Pins removed and links closed, with the agent away.
state='pins removed and links closed'
lab_agent_stop a KILL
device=$(ip -n nk-a -4 route show "$(lab_ip a1 4)" | sed -E 's/.* dev ([^ ]+).*/\1/')
find "$lab/bpf/a" -path "*$device*" -type f > "$lab/pins"
at_least "pins of a1" 2 "$(wc -l < "$lab/pins")"
if [ "$DEVICE" = veth ]; then hooks=(tcx-ingress tcx-egress); else hooks=(netkit-peer netkit-primary); fi
xargs rm < "$lab/pins"
for hook in "${hooks[@]}"; do
  until_true 5 no_links a "$device" "$hook" || fail "a program is still attached: $hook"
done
shut a1 "$(lab_ip a1 4)" "$(lab_ip a1 6)"
works a2 b1
state='one of two links closed'
agent a
works a1 a2
works a1 b1
for pin in $(cat "$lab/pins"); do
  lab_agent_stop a KILL
  rm "$pin"
  silent a1 a2
  silent a2 a1
  silent a a1
  agent a
  works a1 a2
  works a1 b1
done

# --- Every pin of the node lost: all is shut until the agent comes; programs are made again, none twice.
state='all pins lost'
lab_agent_stop a KILL
find "$lab/bpf/a" -type f -delete
until_true 5 no_links a eth0 tcx-ingress || fail "the uplink's program is still attached"
shut a1 "$(lab_ip a1 4)" "$(lab_ip a1 6)"
agent a
for hook in "${hooks[@]}"; do equal "$state: programs on $device $hook" 1 "$(lab_in a nk-foreign ids "$device" "$hook" | grep -cv ' 0$')"; done
works a1 a2
works a1 b1
craft a1 udp 203.0.113.9 "$(lab_ip a2 4)" 3
eventually 2 '[ "$(drops a spoofed-source)" -ge 3 ]' || fail "$state: spoofed packets are not dropped"

# --- Maps full: the ADD that does not fit fails, and leaves a device neither open nor there.
state='map full'
agent_again a '.datapath.max_endpoints = 2' TERM
remember a "$lab/full"
tag=full
from4=$(lab_ip a2 4)
watch p "$tag" 'iifname "eth0"'
refused any max_endpoints ADD a p
! lab_in p ip link show eth0 > /dev/null 2>&1 || fail "$state: the device is still there"
same_world a "$lab/full"
works a1 a2
agent_again a . TERM
plugin ADD a p || fail "ADD after there is room again: $answer"
cp "$lab/stdout" "$lab/pods/p.json"
works p a2
works p b1
