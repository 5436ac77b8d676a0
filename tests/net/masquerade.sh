#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Masquerade by the programs: what the world sees of pods, with the node's own sockets and the stack's table beside it.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
open_lab
nodes a b
by_bpf='.http_port = 9478 | .masquerade = {mode: "bpf", except: ["203.0.113.0/24", "2001:db8:113::/48"]}'
agent a "$by_bpf"
agent b
for pod in a1 a2; do lab_pod a $pod; done
lab_pod b b1
lab_start serve-world world nk-socket serve 7000 @
lab_start serve-more world nk-socket serve 7001 @
lab_start probe-world world nk-probe serve --tcp 5000
# What the node's stack sees of its pods.
watch a stack 'iifname "nk*" tcp dport 5000-7001' 'iifname "nk*" udp dport 5000-7001' \
  'iifname "nk*" icmp type echo-request' 'iifname "nk*" icmpv6 type echo-request'
first_port=61000 stack_port=64402

# The world by its address on the link, which it answers datagrams from.
declare -A outside=([4]=192.0.2.254 [6]=2001:db8::254)
address() { [ "$1" = world ] && echo "${outside[$2]}" || lab_ip "$1" "$2"; }
# talk FROM HOW SERVER FAMILY [PORT [TO-PORT]]: whom the server sees, ADDRESS/PORT
talk() {
  echo "$(address "$3" "$4") ${6:-7000}" | lab_in "$1" nk-socket talk "$2" ${5:+--from "$5"} | sed 's/ from .*//'
}
port_of() { echo "${1##*/}"; }
address_of() { echo "${1%/*}"; }
translated() { ctl a nat | jq -r '[.connections[] | select(.use == "masquerade")] | length'; }

note "the world sees the node, and the pod's port"
for family in $both; do
  for how in tcp connected; do
    equal "$how over IPv$family" "$(lab_ip a $family)/40000" "$(talk a1 $how world $family 40000)"
    seen_as=$(talk a1 $how world $family)
    equal "$how with any port" "$(lab_ip a $family)" "$(address_of "$seen_as")"
  done
  lab_in a1 nk-probe stream "$(lab_ip world $family)" 5000 --bytes "$(scaled 50000000)" > /dev/null || fail "a stream over IPv$family"
done
for pod in a1 a2; do works $pod world; done
equal "packets that the stack saw" 0 "$(seen a stack)"
at_least "connections in the table" 8 "$(translated)"

note "two pods with the same port to one server"
for family in $both; do
  for how in tcp connected; do
    # What has ended does not hold its port for long.
    equal "the first one" "$(lab_ip a $family)/40000" "$(talk a1 $how world $family 40000)"
    seen_as=$(talk a2 $how world $family 40000)
    equal "the node" "$(lab_ip a $family)" "$(address_of "$seen_as")"
    at_least "another port" $first_port "$(port_of "$seen_as")"
    equal "and to another server the same one" "$(lab_ip a $family)/40000" "$(talk a2 $how world $family 40000 7001)"
  done
done

note "two pods ping with the same identifier, while the node does as well"
pings() { lab_in "$1" ping -q -n -e 77 -i 0.2 -c 5 -w 5 "$(lab_ip world "$2")"; }
for family in $both; do
  lab_start ping-a1 a1 bash -c 'echo; exec ping -n -e 77 -i 0.2 -c 15 "$0" | grep "packet loss"' "$(lab_ip world $family)"
  contains "the second pod" " 0% packet loss" "$(pings a2 $family)"
  contains "the first one" " 0% packet loss" "$(lab_finish ping-a1)"
  contains "the node" " 0% packet loss" "$(lab_in a ping -q -n -c 1 "$(lab_ip world $family)")"
done

note "datagrams in pieces"
watch world pieces 'udp dport 7000'
for family in $both; do
  pieces=$(seen world pieces)
  lab_in a1 bash -c "printf %04000d 0 > /dev/udp/$(lab_ip world $family)/7000"
  eventually 5 '[ "$(seen world pieces)" -gt "$pieces" ]' || fail "a datagram of 4000 bytes does not arrive over IPv$family"
done

note "other nodes and their pods see the pod"
lab_start serve-b b nk-socket serve 7000 @
lab_start serve-b1 b1 nk-socket serve 7000 @
for family in $both; do
  for server in b b1; do equal "$server" "$(lab_ip a1 $family)/40000" "$(talk a1 tcp $server $family 40000)"; done
done

note "exceptions see the pod"
ip -n "$lab_prefix-world" address add 203.0.113.1/32 dev lo
ip -n "$lab_prefix-world" address add 2001:db8:113::1/128 dev lo nodad
ip -n "$lab_prefix-world" route add "$(lab_ip a1 4)" via "$(lab_ip a 4)"
ip -n "$lab_prefix-world" route add "$(lab_ip a1 6)" via "$(lab_ip a 6)"
for address in 203.0.113.1 2001:db8:113::1; do
  [ $address = 203.0.113.1 ] && family=4 || family=6
  equal "the pod at $address" "$(lab_ip a1 $family)/40005" \
    "$(echo "$address 7000" | lab_in a1 nk-socket talk tcp --from 40005 | sed 's/ from .*//')"
done

note "a port that a socket of the node has is not kept, and the socket goes on"
lab_start serve-a a nk-socket serve 45000 a
for family in $both; do
  for how in tcp connected; do
    seen_as=$(talk a1 $how world $family 45000)
    at_least "$how: another port" $first_port "$(port_of "$seen_as")"
    equal "the node's own server" a "$(echo "$(lab_ip a $family) 45000" | lab_in world nk-socket talk $how | sed 's/ from .*//')"
  done
done
note "a socket that gets the port of a connection later has its answers"
for family in $both; do
  for how in tcp connected; do
    equal "$how of the pod" "$(lab_ip a $family)/46000" "$(talk a1 $how world $family 46000)"
    equal "$how of the node" "$(lab_ip a $family)/46000" "$(talk a $how world $family 46000)"
  done
done

note "figures"
page() { lab_in a bash -c "exec 3<> /dev/tcp/127.0.0.1/9478 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3"; }
# As of the agent's last look at the table, which ended ones have left before long.
figure() {
  for family in $both; do ping_once a1 world 1 $family; done
  for how in tcp connected; do talk a1 $how world 4 > /dev/null; done
  [[ $(page) = *"netkite_connections{use=\"masquerade\",protocol=\"$1\"} "[1-9]* ]]
}
for protocol in TCP UDP ICMP ICMPv6; do until_true 15 figure $protocol || fail "no $protocol: $(page | grep connections)"; done
lab_in a1 bash -c "printf x > /dev/udp/${outside[4]}/7002"
equal "a flush" 1 "$(ctl a conntrack flush --port 7002 | jq .removed)"

note "a stream while the agent is killed and comes back"
lab_start stream a1 bash -c 'echo; exec nk-probe stream "$0" 5000 --seconds 6 --timeout 10' "$(lab_ip world 4)"
lab_agent_stop a KILL
sleep 1
agent a "$by_bpf"
agent_again a "$by_bpf" TERM
at_least "bytes" 1 "$(lab_finish stream | jq .bytes)"

note "a router's ICMP errors reach the pod"
lab_in world sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip -n "$lab_prefix-world" route add 198.51.100.99 via "$(lab_ip b 4)" mtu 1300
ip -n "$lab_prefix-world" route add 2001:db8:ffff::99 via "$(lab_ip b 6)" mtu 1300
contains "the second hop" "From 192.0.2.254 icmp_seq=1 Time to live exceeded" "$(lab_in a1 ping -n -c 1 -t 2 -W 2 198.51.100.99 || true)"
contains "the second hop of IPv6" "From 2001:db8::254 icmp_seq=1 Time exceeded" "$(lab_in a1 ping -n -c 1 -t 2 -W 2 2001:db8:ffff::99 || true)"
contains "too large" "Frag needed and DF set (mtu = 1300)" "$(lab_in a1 ping -n -c 1 -M do -s 1400 -W 2 198.51.100.99 || true)"
contains "too large for IPv6" "Packet too big: mtu=1300" "$(lab_in a1 ping -n -c 1 -M do -s 1400 -W 2 2001:db8:ffff::99 || true)"
lab_in a1 bash -c "printf %01400d 0 > /dev/udp/198.51.100.99/7000"
eventually 3 'ip -n "$lab_prefix-a1" route get 198.51.100.99 | grep -q "mtu 1300"' || fail "the pod has not learnt the MTU of the way"
contains "the first hop" "From $(ip -n "$lab_prefix-a" -j route get "$(lab_ip a1 4)" | jq -r '.[0].prefsrc') icmp_seq=1 Time to live exceeded" \
  "$(lab_in a1 ping -n -c 1 -t 1 -W 2 198.51.100.99 || true)"

note "an ICMP error of a host reaches the pod"
watch a1 errors 'icmp type destination-unreachable' 'icmpv6 type destination-unreachable'
for family in $both; do
  errors=$(seen a1 errors)
  equal "nobody is there" "error: Connection refused" "$(talk a1 connected world $family 47000 7777)"
  at_least "errors" $((errors + 1)) "$(seen a1 errors)"
done

note "an agent with nftables before, and a connection that goes on"
agent_again a '.masquerade = {mode: "nftables"}'
equal "the maps are gone" "" "$(ctl a status | jq -r '.maps[].name | select(. == "nk_ct_v1" or . == "nk_exit_v1")')"
for family in $both; do
  equal "by nftables" "$(lab_ip a $family)/48000" "$(talk a1 tcp world $family 48000)"
  hold "before-$family" a1 "$(lab_ip world $family)" 5000
done
lab_start flow a1 bash -c 'echo; (sleep 1; for i in 1 2 3 4 5 6; do echo "$0 7000"; sleep 1; done) | nk-socket talk udp --from 48001' "${outside[4]}"
eventually 5 'grep -q 48001 "$lab/jobs/flow.out"' || fail "no answer to a datagram"
agent_again a "$by_bpf"
from_before=$(ctl a nat | jq -c '[.connections[] | select(.use == "masquerade") | "\(.protocol) \(.entrance_port) \(.source_port)"]')
contains "the flow is the programs' now" '"UDP 7000 48001"' "$from_before"
equal "and so are the connections" 2 "$(jq '[.[] | select(startswith("TCP 5000"))] | length' <<< "$from_before")"
before=$(seen a stack)
for family in $both; do
  equal "after the switch" "$(lab_ip a $family)" "$(address_of "$(talk a2 tcp world $family)")"
done
for family in $both; do equal "the one from before" open "$(release "before-$family")"; done
lab_finish flow > /dev/null
equal "the flow of datagrams" "$(lab_ip a 4)/48001" "$(grep . "$lab/jobs/flow.out" | sed 's/ from .*//' | sort -u)"
equal "packets that the stack saw" "$before" "$(seen a stack)"

note "and back again"
for family in $both; do hold "back-$family" a1 "$(lab_ip world $family)" 5000; done
agent_again a '.masquerade = {mode: "nftables"}'
for family in $both; do equal "with its port kept" open "$(release "back-$family")"; done
equal "refusals" '[]' "$(ctl a drops | jq -c '[.. | objects | select(.packets? > 0) | [.reason, .packets] |
  select(.[0] != "not-for-pod" and .[0] != "unspecified-source")]')"
