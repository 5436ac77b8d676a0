#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A kernel with netkit: auto picks it; pods keep the device they were born with when the mode changes.
. "$(dirname "$0")/../lib.sh"
open_lab
nodes a b
DEVICE=auto
agent a
agent b
equal "the device that auto picked" netkit "$(ctl a status | jq -r .device)"
lab_pod a a1
lab_pod b b1
for DEVICE in veth netkit-l2; do
  agent_again a
  lab_pod a "a-${DEVICE}"
done
DEVICE=netkit
agent_again a
kinds() { ctl a endpoints | jq -r '[.. | objects | select(has("host_ifname")) | .device] | sort | join(" ")'; }
equal "devices of the endpoints" 'netkit netkit-l2 veth' "$(kinds)"
for from in a1 a-veth a-netkit-l2; do
  for to in a1 a-veth a-netkit-l2 b1 a world; do works "$from" "$to"; done
  works b1 "$from"
  works a "$from"
  craft "$from" udp 203.0.113.7 "$(lab_ip b1 4)" 3
done
eventually 2 '[ "$(drops a spoofed-source)" = 9 ]' || fail "not every device checks its source: $(ctl a drops | jq -c .)"
for pod in a1 a-veth a-netkit-l2; do lab_unpod a "$pod"; done
equal "endpoints" '' "$(kinds)"
