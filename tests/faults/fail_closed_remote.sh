#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A pod whose own links are closed while the uplink's program lives: nothing from another node may reach it either.
# devices: netkit netkit-l2 veth
. "$(dirname "$0")/../lib.sh"
usual_lab
works b1 a1
lab_agent_stop a KILL
device=$(ip -n nk-a -4 route show "$(lab_ip a1 4)" | sed -E 's/.* dev ([^ ]+).*/\1/')
find "$lab/bpf/a" -path "*$device*" -type f -delete
for sender in b1 b; do
  watch a1 "from_$sender" "ip saddr $(lab_ip "$sender" 4)" "ip6 saddr $(lab_ip "$sender" 6)"
  for family in $both; do silent "$sender" a1 "$family"; done
done
for sender in b1 b; do equal "packets of $sender that reached a1" 0 "$(seen a1 "from_$sender")"; done
works b1 a2
agent a
works b1 a1
