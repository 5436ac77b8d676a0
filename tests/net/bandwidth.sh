#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Limits that Netkite keeps itself: rates on the wire in both directions, beside pods without limits, without the agent,
# and nothing left behind.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
limited='.bandwidth.enabled = true'
usual_lab "$limited"
lab_unpod a a1
root_qdisc() { lab_in "$1" tc -j qdisc show dev "$2" | jq -r '[.[] | select(.root)][0].kind // "none"'; }
default=$(root_qdisc world eth0)

# Segments are cut before they leave a node, so that devices count what is on the wire.
for node in a b; do ip -n "nk-$node" link set eth0 gso_max_segs 1; done

# A kernel without fq cannot delay: the programs drop what is too fast, which TCP does not like.
if lab_in switch tc qdisc add dev lo root fq 2> /dev/null; then fq=fq; else fq=$default; fi
for node in a b; do
  equal "the uplink's queueing discipline on $node" "$fq" "$(root_qdisc $node eth0)"
  problems=$(ctl $node status | jq -r '.problems[]')
  if [ "$fq" = fq ]; then equal "problems" '' "$problems"; else contains "problems" CONFIG_NET_SCH_FQ "$problems"; fi
done

limit=$(scaled 20000000)
burst=$((limit / 10))
limits="\"bandwidth\": {\"ingressRate\": $limit, \"ingressBurst\": $burst, \"egressRate\": $limit, \"egressBurst\": $burst}"
# Much more than that, in Mbit/s.
unlimited=$((3 * limit / 1000000))
jq '.plugins[0].capabilities = {bandwidth: true, portMappings: true}' "$lab/a/net.conflist" > "$lab/limits.conflist"
limits_cni() {
  lab_in a nk-cni "$1" --conf "$lab/limits.conflist" --netns "$(lab_path "$2")" --container "$lab_prefix-$2" --result "$lab/pods/$2.json" \
    --capabilities "{${3:-$limits}}" > "$lab/out"
}
must() { limits_cni "$@" || fail "$1 of $2: $(cat "$lab/out")"; }
pod() { lab_namespace "$1"; must add "$@"; }

note "what makes no sense"
lab_namespace x
for bad in '"ingressRate": 20000000' '"egressRate": 1, "egressBurst": 1' '"egressRate": "20M", "egressBurst": 1'; do
  ! limits_cni add x "\"bandwidth\": {$bad}" || fail "$bad was accepted"
  contains "the answer to $bad" runtimeConfig.bandwidth "$(cat "$lab/out")"
done
remember a "$lab/before"
pod p
equal "the pod's device" "${DEVICE%-l2}" "$(lab_in p ip -d -j link show eth0 | jq -r '.[0].linkinfo.info_kind')"
equal "limits of the endpoint" "[$limit,$limit]" "$(ctl a endpoints | jq -c '.endpoints[] | .bandwidth | select(.egress_rate > 0) | [.egress_rate, .ingress_rate]')"
works p b1
must check p

# wire SPACE DEVICE FIELD: bits per second, when the burst is over; fields of /proc/net/dev: 2 received, 10 sent
wire() {
  # No program is started between a look and its time: on a busy machine that takes long.
  lab_in "$1" bash -c 'sleep 0.5
    mapfile -t before < /proc/self/net/dev
    since=$EPOCHREALTIME
    sleep 2
    mapfile -t after < /proc/self/net/dev
    until=$EPOCHREALTIME
    printf "%s $since\n" "${before[@]}"
    printf "%s $until\n" "${after[@]}"' |
    awk -v device="$2:" -v field="$3" '$1 == device { if (from == "") { from = $field; since = $NF } else { to = $field; until = $NF } }
      END { printf "%.0f", (to - from) * 8 / (until - since) }'
}
# is LEAST MOST ACTUAL: in parts of the limit
is() { awk -v actual="$3" -v limit="$limit" -v least="$1" -v most="$2" 'BEGIN { exit !(actual >= limit * least && actual <= limit * most) }'; }
within() { is 0.97 1.03 "$1"; }
at_most() { is 0 1.03 "$1"; }
# After a pause of the sender as much more may come at once as the burst is, 100 ms; and 210 ms of what is only dropped, of which TCP may
# make less.
dropped_most=1.2
if [ "$fq" = fq ]; then paced=within most=1.06; else paced=at_most most=$dropped_most; fi

for pod in p b1 world; do
  lab_start "sink-$pod" "$pod" nk-probe serve --tcp 5000
  lab_start "udp-$pod" "$pod" nk-probe udp-recv 5001 --seconds 900
done
# send FROM tcp|udp ADDRESS: until `sent`; datagrams some times faster than the limit
send() {
  if [ "$2" = tcp ]; then
    lab_start send "$1" bash -c 'echo; exec nk-probe stream "$0" 5000 --seconds 600' "$3"
  else
    # No program started for each: pauses would have to be short against what the queues hold.
    lab_start send "$1" bash -c 'printf -v datagram %01200d 0
      exec 3> "/dev/udp/$0/5001" 4<> <(:)
      echo
      while true; do
        for i in {1..25}; do printf %s "$datagram" >&3; done
        read -r -t 0.003 -u 4
      done' "$3"
  fi
}
sent() { lab_finish send KILL > /dev/null; }
# rate CHECK WHAT FROM HOW ADDRESS SPACE DEVICE FIELD: a busy machine pauses, so not each look has to be right
rate() {
  local actual i
  send "$3" "$4" "$5"
  for i in 1 2 3 4 5 6; do
    actual=$(wire "$6" "$7" "$8")
    note "$2: $actual bit/s"
    is 0 "$most" "$actual" || break
    ! "$1" "$actual" || { sent; return; }
  done
  fail "$2: $actual bit/s, the limit is $limit"
}

for family in $both; do
  note "out of the pod, IPv$family"
  rate $paced 'TCP to another node' p tcp "$(lab_ip b1 $family)" b1 eth0 2
  rate within 'UDP to another node' p udp "$(lab_ip b1 $family)" b1 eth0 2
  rate $paced 'TCP outside' p tcp "$(lab_ip world $family)" world eth0 2
  note "into the pod, IPv$family"
  rate within 'TCP from another node' b1 tcp "$(lab_ip p $family)" p eth0 2
  rate within 'UDP from another node' b1 udp "$(lab_ip p $family)" p eth0 2
done
rate at_most 'into the pod, from its neighbour' a2 tcp "$(lab_ip p 4)" p eth0 2

note "not between pods of a node, nor to the node"
lab_start serve-a2 a2 nk-probe serve --tcp 5000
lab_start serve-a a nk-probe serve --tcp 5000
mbit() { lab_in "$1" nk-probe stream "$(lab_ip "$2" 4)" 5000 --bytes 20000000 | jq '.gbit_s * 1000 | floor'; }
for to in a2 a; do at_least "Mbit/s to $to" $unlimited "$(mbit p $to)"; done

note "who has no limit is not slowed"
send p udp "$(lab_ip b1 4)"
at_least "Mbit/s of the neighbour" $unlimited "$(mbit a2 b1)"
sent

note "without the agent"
lab_agent_stop a KILL
rate within 'UDP to another node' p udp "$(lab_ip b1 4)" b1 eth0 2
rate within 'TCP from another node' b1 tcp "$(lab_ip p 4)" p eth0 2
agent a "$limited"
must check p

note "CHECK sees that the queue has gone, and the agent puts it back"
host=$(host_device a p)
equal "the pod's queue" tbf "$(root_qdisc a "$host")"
lab_in a tc qdisc del dev "$host" root
! limits_cni check p || fail "CHECK finds no difference"
contains "the answer of CHECK" "no queue that limits it to $limit bit/s" "$(cat "$lab/out")"
agent_again a "$limited"
must check p

note "by the overlay, and masqueraded by the programs: what leaves the node is counted with all of its headers"
lab_agent_stop b
agent b '.routing = "overlay"'
agent_again a "$limited"' | .routing = "overlay" | .masquerade.mode = "bpf"'
works p b1
rate within 'UDP by the overlay' p udp "$(lab_ip b1 4)" switch to-a 2
rate within 'UDP to the world' p udp "$(lab_ip world 6)" switch to-a 2
lab_agent_stop b
agent b
agent_again a "$limited"

note "switched off"
agent_again a
works p b1
equal "the pod's queue" "$default" "$(root_qdisc a "$host")"
equal "the uplink's queueing discipline" "$default" "$(root_qdisc a eth0)"
at_least "Mbit/s out of the pod" $unlimited "$(mbit p b1)"

if ip -n nk-a link add many numtxqueues 2 type ifb 2> /dev/null; then
  note "each of several queues"
  ip -n nk-a link set many up
  queues() { lab_in a tc -j qdisc show dev many | jq -r 'map(.kind) | sort | join(" ")'; }
  many=$(queues)
  contains "the kernel's default" mq "$many"
  agent_again a "$limited"' | .uplinks += ["many"]'
  if [ "$fq" = fq ]; then equal "an uplink of two queues" "fq fq mq" "$(queues)"; else equal "an uplink of two queues" "$many" "$(queues)"; fi
  agent_again a
  equal "switched off" "$many" "$(queues)"
  ip -n nk-a link del many
fi

note "what somebody has set stays"
lab_in a tc qdisc replace dev eth0 root handle 5: htb default 1
agent_again a "$limited"
contains "problems" 'eth0: its queueing discipline htb was set by somebody' "$(ctl a status | jq -r '.problems[]')"
equal "the uplink's queueing discipline" htb "$(root_qdisc a eth0)"
most=$dropped_most rate within 'UDP all the same' p udp "$(lab_ip b1 4)" b1 eth0 2
lab_in a tc qdisc del dev eth0 root
agent_again a "$limited"

note "nothing is left"
must del p
same_world a "$lab/before"
equal "the uplink's queueing discipline" "$fq" "$(root_qdisc a eth0)"
lab_agent_stop a
lab_in a netkite-agent --config "$lab/a/agent.json" --cleanup
equal "the uplink's queueing discipline after the clean-up" "$default" "$(root_qdisc a eth0)"
