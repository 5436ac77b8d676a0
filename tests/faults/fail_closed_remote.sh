#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A pod whose own links are closed with the agent away: nothing leaves it, and what still reaches it from other nodes has
# passed the uplink's program (fail_closed.sh takes that one away too).
# devices: netkit netkit-l2 veth
. "$(dirname "$0")/../lib.sh"
usual_lab
works b1 a1
device=$(host_device a a1)
lab_agent_stop a KILL
watch b1 from_a1 "ip saddr $(lab_ip a1 4)" "ip6 saddr $(lab_ip a1 6)"
find "$lab/bpf/a" -path "*$device*" -type f -delete
for family in $both; do silent b1 a1 "$family"; silent a1 b1 "$family"; done
equal "packets that left the pod" 0 "$(seen b1 from_a1)"
watch a1 lie "ip saddr $(lab_ip a2 4)"
mac=$(ip -n nk-a -j link show eth0 | jq -r '.[0].address')
lab_in b nk-packet eth0 udp "$(lab_ip a2 4)" "$(lab_ip a1 4)" 20 "$mac"
equal "packets from the uplink with a local pod's source that reached the pod" 0 "$(seen a1 lie)"
agent a
works b1 a1
works a1 b1
