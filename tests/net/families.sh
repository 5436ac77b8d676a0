#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Nodes with one family only: its paths work, and the other family is not there at all.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"

# <family> <jq that keeps its pools>
one_family() {
  local family=$1 other=$((10 - $1)) keep
  [ "$family" = 4 ] && keep='contains(".")' || keep='contains(":")'
  usual_lab "(.pools, .peers[].pod_ranges, .peers[].addresses) |= map(select($keep))"
  for path in 'a1 a2' 'a1 b1' 'b1 a1' 'a1 a' 'a a1' 'a1 world' 'a1 a1'; do works ${path% *} ${path#* } "$family"; done
  equal "IPv$other addresses of a1" 0 "$(lab_in a1 ip -o "-$other" address show dev eth0 | wc -l)"
  equal "IPv$other default routes of a1" 0 "$(lab_in a1 ip -o "-$other" route show default | wc -l)"
  equal "addresses in the result" 1 "$(jq '.ips | length' "$lab/pods/a1.json")"
  equal "routes of IPv$other pods on node a" 0 "$(ip -n nk-a "-$other" route show table all proto 178 | wc -l)"
  equal "problems in status" '[]' "$(ctl a status | jq -c '.problems // []')"
  # What a pod's owner does about the missing family does not help: the node refuses it, and says so.
  if [ "$family" = 4 ]; then
    reason=no-ipv6 address=fd77:1::99 target=$(lab_ip a 6)
  else
    reason=no-ipv4 address=10.77.1.99 target=$(lab_ip a 4)
  fi
  watch a stolen "iifname != \"eth0\" ip$([ "$family" = 4 ] && echo 6) saddr $address"
  craft a1 udp "$address" "$target" 5
  eventually 2 '[ "$(drops a "$reason")" = 5 ]' || fail "drops for $reason: $(drops a "$reason"), expected 5"
  equal "packets of the other family that node a saw" 0 "$(seen a stolen)"
}
(one_family 4)
(one_family 6)
