#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The XDP deny-list: nothing of a denied source reaches the node's stack, every packet is counted, and it holds while the
# agent is away.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
usual_lab
mac=$(ip -n nk-a -j link show eth0 | jq -r '.[0].address')
from_world() { lab_in world nk-packet eth0 udp "$1" "$2" "$3" "$mac"; }
listed() { ctl a prefilter list | jq -r --arg prefix "$1" '[.. | objects | select(.prefix? == $prefix) | .packets][0] // "absent"'; }
arrived() { seen a "$1"; }
count=500

watch a four 'ip saddr 203.0.113.0/24'
watch a six 'ip6 saddr 2001:db8:bad::/48'
watch a1 four 'ip saddr 203.0.113.0/24'
a4=$(lab_ip a 4) a6=$(lab_ip a 6) pod4=$(lab_ip a1 4)

from_world 203.0.113.5 "$a4" 10
from_world 2001:db8:bad::5 "$a6" 10
eventually 2 '[ "$(arrived four) $(arrived six)" = "10 10" ]' || fail "before the list: $(arrived four) and $(arrived six) of 10 arrived"

ctl a prefilter add 203.0.113.0/24 2001:db8:bad::/48 203.0.113.128/25 > /dev/null
mode=$(ctl a status | jq -r '[.. | objects | select(.hook? == "xdp") | .mode][0]')
note "XDP mode: $mode"
[[ $mode = native || $mode = generic ]] || fail "status does not say the mode of XDP: $mode"

from_world 203.0.113.5 "$a4" "$count"
from_world 203.0.113.200 "$a4" "$count"
from_world 203.0.113.5 "$pod4" "$count"
from_world 2001:db8:bad::5 "$a6" "$count"
eventually 2 '[ "$(listed 2001:db8:bad::/48)" = "$count" ]' || fail "2001:db8:bad::/48 counted $(listed 2001:db8:bad::/48), expected $count"
equal "counted for 203.0.113.0/24" $((2 * count)) "$(listed 203.0.113.0/24)"
equal "counted for 203.0.113.128/25, the longer prefix" "$count" "$(listed 203.0.113.128/25)"
equal "denied-prefix drops" $((4 * count)) "$(drops a denied-prefix)"
equal "denied packets that reached the stack" '10 10' "$(arrived four) $(arrived six)"
equal "denied packets that reached the pod" 0 "$(seen a1 four)"
works b1 a1
works a1 b1

note "the agent away and back"
lab_agent_stop a KILL
from_world 203.0.113.5 "$a4" "$count"
equal "denied packets that reached the stack with the agent away" 10 "$(arrived four)"
agent a
equal "counted for 203.0.113.0/24 after the restart" $((3 * count)) "$(listed 203.0.113.0/24)"
from_world 203.0.113.5 "$a4" "$count"
equal "denied packets that reached the stack after the restart" 10 "$(arrived four)"

note "allowed again"
ctl a prefilter del 203.0.113.0/24 203.0.113.128/25 > /dev/null
from_world 203.0.113.5 "$a4" 5
eventually 2 '[ "$(arrived four)" = 15 ]' || fail "after del $(arrived four) arrived, expected 15"
! ctl a prefilter del 203.0.113.0/24 > /dev/null 2>&1 || fail "del of an unknown prefix succeeded"
! ctl a prefilter add 203.0.113.7/24 > /dev/null 2>&1 || note "host bits are masked"
! ctl a prefilter add banana > /dev/null 2>&1 || fail "add of a banana succeeded"

note "many prefixes"
awk 'BEGIN { for (i = 0; i < 60000; i++) printf "100.%d.%d.%d/32\n", 64 + i / 65536, i / 256 % 256, i % 256
  for (i = 0; i < 40000; i++) printf "2001:db8:%x:%x::/64\n", 4096 + i / 256, i % 256 }' > "$lab/prefixes"
# A second is the bound. Processor time of the tool and the agent: the machine may be busy with something else.
agent_ticks() { awk '{ print $14 + $15 }' "/proc/$(lab_agent_pid a)/stat"; }
before=$(agent_ticks) start=$EPOCHREALTIME
TIMEFORMAT='%U %S'
{ time ctl a prefilter add --file "$lab/prefixes" > /dev/null; } 2> "$lab/time"
wall=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%d", (b - a) * 1000 }')
busy=$(awk -v ticks="$(($(agent_ticks) - before))" -v hertz="$(getconf CLK_TCK)" \
  'END { printf "%d", ($1 + $2 + ticks / hertz) * 1000 }' "$lab/time")
note "100,000 prefixes in $wall ms, $busy ms of processor time"
[ "$slow" -gt 1 ] || [ "$busy" -le 1000 ] || fail "100,000 prefixes took $busy ms of processor time, more than 1,000"
watch a many 'ip saddr 100.64.0.0/10'
from_world 100.64.234.95 "$a4" "$count"
from_world 100.64.234.96 "$a4" 3   # not in the list
eventually 2 '[ "$(arrived many)" = 3 ]' || fail "of the many $(arrived many) arrived, expected 3"
equal "prefixes listed" 100001 "$(ctl a prefilter list | jq '[.. | objects | select(has("prefix"))] | length')"
equal "counted for 100.64.234.95/32" "$count" "$(listed 100.64.234.95/32)"
ctl a prefilter del --file "$lab/prefixes" > /dev/null
equal "prefixes left" 1 "$(ctl a prefilter list | jq '[.. | objects | select(has("prefix"))] | length')"
works b1 a1
