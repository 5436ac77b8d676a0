#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A kernel without netkit: auto falls back to veth and says so in one line; netkit by name is an error that names the
# kernel option and the alternative.
. "$(dirname "$0")/../lib.sh"
open_lab
nodes a b
if ip -n nk-a link add probe type netkit mode l3 2> /dev/null || [ "$(uname -r | cut -d . -f 1-2)" = 6.12 ]; then
  skip "this kernel has netkit: tests/vm/device_choice.sh covers it"
fi
DEVICE=auto
agent a
equal "the device that auto picked" veth "$(ctl a status | jq -r .device)"
equal "lines about netkit in the log" 1 "$(grep -c CONFIG_NETKIT "$lab/a/agent.log")"
contains "the line" veth "$(grep CONFIG_NETKIT "$lab/a/agent.log")"
lab_pod a a1
works a1 a
lab_agent_stop a TERM

for device in netkit netkit-l2; do
  status=0
  jq ".device = \"$device\"" "$lab/a/agent.json" > "$lab/a/explicit.json"
  lab_in a timeout 20 netkite-agent --config "$lab/a/explicit.json" > "$lab/out" 2>&1 || status=$?
  [ "$status" != 0 ] && [ "$status" != 124 ] || fail "device $device was accepted by a kernel without netkit"
  contains "the error" CONFIG_NETKIT "$(cat "$lab/out")"
  contains "the error: the alternative" veth "$(cat "$lab/out")"
  works a1 a
done
