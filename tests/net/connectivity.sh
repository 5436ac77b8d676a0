#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every path of a pod, in both families: same node, other node, its node, the other node, outside, and back.
# devices: netkit netkit-l2 veth
. "$(dirname "$0")/../lib.sh"
usual_lab
lab_start serve-world world nk-probe serve --tcp 5000
lab_start serve-b1 b1 nk-probe serve --tcp 5000
lab_start serve-a2 a2 nk-probe serve --tcp 5000
lab_start serve-a a nk-probe serve --tcp 5000

for path in 'a1 a2' 'a2 a1' 'a1 b1' 'b1 a1' 'a1 a' 'a a1' 'a1 b' 'b a1' 'a1 world' 'b1 world' 'a1 a1'; do
  works ${path% *} ${path#* }
done

for family in $both; do
  for server in a2 b1 a; do
    address=$(lab_ip "$server" "$family")
    equal "the address that $server sees of a1" "$(lab_ip a1 "$family")" \
      "$(lab_in a1 nk-probe seen-as "$address" 5000 | jq -r .address)"
    lab_in a1 nk-probe stream "$address" 5000 --bytes "$(scaled 50000000)" > /dev/null
    lab_in a1 nk-probe rtt "$address" 5000 --count 50 > /dev/null
  done
  address=$(lab_ip world "$family")
  equal "the address that the world sees of a1: masquerade" "$(lab_ip a "$family")" \
    "$(lab_in a1 nk-probe seen-as "$address" 5000 | jq -r .address)"
  lab_in a1 nk-probe stream "$address" 5000 --bytes "$(scaled 20000000)" > /dev/null
done

# What the pod looks like from within: one address each, host-wide prefixes, one default route each.
equal "addresses of a1" "$(lab_ip a1 4)/32 $(lab_ip a1 6)/128" \
  "$(lab_in a1 ip -j address show dev eth0 | jq -r '[.[0].addr_info[] | select(.scope == "global") | "\(.local)/\(.prefixlen)"] | join(" ")')"
for family in $both; do
  equal "default routes, IPv$family" 1 "$(lab_in a1 ip -o "-$family" route show default | wc -l)"
done
equal "IPv6 addresses of a1 of link scope" 0 "$(lab_in a1 ip -6 -o address show dev eth0 scope link | wc -l)"

# The kind of the device is the one that was asked for.
kind=$(lab_in a1 ip -j -d link show eth0 | jq -r '.[0].linkinfo.info_kind')
equal "the device's kind" "${DEVICE%-l2}" "$kind"
equal "the endpoint's device" "$DEVICE" "$(ctl a endpoints | jq -r '[.. | objects | select(has("host_ifname")) | .device] | unique | join(",")')"
# The kernels' own multicast reports are refused; nothing else was.
equal "drops on node a" '[]' "$(ctl a drops | jq -c '[.. | objects | select(.packets? > 0) | [.reason, .packets] |
  select(.[0] != "not-for-pod" and .[0] != "unspecified-source")]')"
