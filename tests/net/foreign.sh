#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Other people's programs before and behind ours, on a pod's device and on the uplink: all run, none is touched by a
# restart, and the order stays.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
usual_lab
device=$(host_device a a1)
if [ "$DEVICE" = veth ]; then from=tcx-ingress to=tcx-egress; else from=netkit-peer to=netkit-primary; fi
hooks=("$device $from" "$device $to" "eth0 tcx-ingress")

pin() { echo "$lab/bpf/foreign-${1// /-}-$2"; }
foreign() { lab_in a nk-foreign "$@"; }
# Without the backstop of a veth, which has no link.
ids() { foreign ids "$@" | grep -v ' 0$'; }
for hook in "${hooks[@]}"; do
  foreign attach $hook before next "$(pin "$hook" before)"
  foreign attach $hook after next "$(pin "$hook" after)"
done
# The links of every hook in their order: restarts update programs in place, links stay.
order() { for hook in "${hooks[@]}"; do echo "$hook: $(ids $hook | cut -d ' ' -f 2 | tr '\n' ' ')"; done; }

# <state>: every foreign program counts what passes
all_count() {
  local hook place before after
  for hook in "${hooks[@]}"; do
    for place in before after; do
      before=$(foreign count "$(pin "$hook" "$place")")
      for family in $both; do
        lab_in a1 ping -q -n -c 3 -i 0.05 -W 2 "$(lab_ip a2 "$family")" > /dev/null
        lab_in a1 ping -q -n -c 3 -i 0.05 -W 2 "$(lab_ip b1 "$family")" > /dev/null
        lab_in b ping -q -n -c 3 -i 0.05 -W 2 "$(lab_ip a "$family")" > /dev/null
      done
      after=$(foreign count "$(pin "$hook" "$place")")
      note "$1: $hook, $place: $((after - before))"
      at_least "$1: packets counted on $hook $place ours" 6 $((after - before))
    done
  done
}

for hook in "${hooks[@]}"; do
  equal "programs on $hook: $(ids $hook | tr '\n' ' ')" 3 "$(ids $hook | wc -l)"
done
before=$(order)
agent_again a . TERM
all_count "after a restart"
equal "the order of links" "$before" "$(order)"
agent_again a . KILL
all_count "after a kill"
equal "the order of links" "$before" "$(order)"
works a1 a2
works a1 b1
works a1 world
# Our checks hold between them: a lie is dropped before the program behind ours sees it.
after=$(foreign count "$(pin "$device $from" after)")
craft a1 udp 203.0.113.9 "$(lab_ip a2 4)" 20
eventually 2 '[ "$(drops a spoofed-source)" = 20 ]' || fail "spoofed packets are not dropped between foreign programs"
equal "spoofed packets that the program behind ours saw" "$after" "$(foreign count "$(pin "$device $from" after)")"

# They leave, ours stays.
for hook in "${hooks[@]}"; do rm -r "$(pin "$hook" before)" "$(pin "$hook" after)"; done
eventually 5 '[ "$(ids $device $from | wc -l)" = 1 ]' || fail "$(order)"
works a1 a2
craft a1 udp 203.0.113.9 "$(lab_ip a2 4)" 20
eventually 2 '[ "$(drops a spoofed-source)" = 40 ]' || fail "spoofed packets are not dropped after the foreign programs left"
