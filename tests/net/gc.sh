#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# GC removes the attachments of its own network that are not in the list, and nothing else.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
open_lab
nodes a b
agent a
remember a "$lab/empty"
for pod in p1 p2 p3 p4; do
  lab_namespace "$pod"
  network=netkite
  [ "$pod" != p4 ] || network=other
  conf_filter=".name = \"$network\"" plugin ADD a "$pod" || fail "ADD $pod: $answer"
  jq . "$lab/stdout" > "$lab/pods/$pod.json"
done
gc() { conf_filter=".cniVersion = \"1.1.0\" | $1" plugin GC a p1 CNI_CONTAINERID= CNI_NETNS= CNI_IFNAME=; }
endpoints() { ctl a endpoints | jq -r '[.. | objects | .container_id? // empty] | unique | join(" ")'; }
equal "endpoints" 'p1 p2 p3 p4' "$(endpoints)"

! gc . || fail "GC without a list of attachments was accepted"
equal "endpoints after GC without a list" 'p1 p2 p3 p4' "$(endpoints)"
! gc '."cni.dev/valid-attachments" = {"a": 1}' || fail "GC with an object for a list was accepted"
equal "endpoints after GC with an object" 'p1 p2 p3 p4' "$(endpoints)"

gc '."cni.dev/valid-attachments" = [{"containerID": "p1", "ifname": "eth0"}, {"containerID": "p2", "ifname": "eth0"}]' || fail "GC: $answer"
equal "endpoints after GC" 'p1 p2 p4' "$(endpoints)"
works p1 p2
works p1 p4
! lab_in p3 ip link show eth0 > /dev/null 2>&1 || fail "p3 still has its interface"

gc '."cni.dev/attachments" = [{"containerID": "p1", "ifname": "eth0"}]' || fail "GC with the older key: $answer"
equal "endpoints after GC with the older key" 'p1 p4' "$(endpoints)"
gc '."cni.dev/valid-attachments" = null' || fail "GC with null: $answer"
equal "endpoints after GC with null" p4 "$(endpoints)"
plugin ADD a p2 || fail "ADD p2: $answer"
jq . "$lab/stdout" > "$lab/pods/p2.json"
mkdir -p "$lab/a/run/deferred-del"
ctl a endpoints | jq '[.. | objects | select(.container_id? == "p2")][0] | {network, container_id, ifname}' > "$lab/a/run/deferred-del/p2.json"
eventually 15 '[ "$(endpoints)" = p4 ]' || fail "a DEL that the agent had turned away is never done: $(endpoints)"
equal "notes" "" "$(ls "$lab/a/run/deferred-del")"
rmdir "$lab/a/run/deferred-del"
conf_filter='.name = "other" | ."cni.dev/valid-attachments" = []' plugin GC a p1 || fail "GC of the other network: $answer"
same_world a "$lab/empty"
