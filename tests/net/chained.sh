#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# First in a chain with portmap, bandwidth and tuning from Debian's package: each does its work, and DEL leaves nothing.
# devices: netkit veth
. "$(dirname "$0")/../lib.sh"
for plugin in portmap bandwidth tuning; do [ -x "/usr/lib/cni/$plugin" ] || skip "no /usr/lib/cni/$plugin: containernetworking-plugins"; done
command -v iptables > /dev/null || skip "no iptables: dev/setup lab installs it"
usual_lab
for pod in a1 a2; do lab_unpod a "$pod"; done
remember a "$lab/before"

# Our own plugin hears of the mappings and the limits too: such a pod's packets take no short cuts.
jq '.cniVersion = "1.0.0" | .plugins[0].capabilities = {portMappings: true, bandwidth: true} | .plugins += [
  {type: "portmap", capabilities: {portMappings: true}, snat: true},
  {type: "bandwidth", capabilities: {bandwidth: true}},
  {type: "tuning", sysctl: {"net.core.somaxconn": "500"}}]' "$lab/a/net.conflist" > "$lab/chain.conflist"
chain() { lab_in a nk-cni "$1" --conf "$lab/chain.conflist" --netns "$(lab_path "$2")" --container "$2" --result "$lab/pods/$2.json" --capabilities "$3"; }
must_chain() { chain "$@" > "$lab/out" || fail "$1 of the chain for $2: $(cat "$lab/out")"; }
mapping='"portMappings": [{"hostPort": 8080, "containerPort": 5000, "protocol": "tcp"}]'
limits='"bandwidth": {"ingressRate": 20000000, "ingressBurst": 2000000, "egressRate": 20000000, "egressBurst": 2000000}'
# The package's bandwidth plugin knows veth devices only.
if [ "$DEVICE" = veth ]; then capabilities="{$mapping, $limits}"; else capabilities="{$mapping}"; fi

lab_namespace p
must_chain add p "$capabilities"
works p b1
works b1 p
lab_pod a a2
works p a2
works a2 p

note "portmap"
lab_start serve p nk-probe serve --tcp 5000
for client in world b b1 a2; do
  for family in $both; do
    address=$(lab_ip a "$family")
    lab_in "$client" nk-probe connect "$address" 8080 --count 3 > /dev/null || fail "$client does not reach the mapped port over IPv$family"
    note "$client is seen as $(lab_in "$client" nk-probe seen-as "$address" 8080 | jq -r .address)"
  done
done

# slower SERVER CLIENT PORT WHAT: 4 MB, of which 250 kB go as a burst, take 1.5 s at this rate and a blink without it
slower() {
  local rate
  rate=$(lab_in "$2" nk-probe stream "$(lab_ip "$1" 4)" "$3" --bytes 4000000 | jq '.gbit_s * 1000 | floor')
  note "$4: $rate Mbit/s"
  [ "$rate" -le 30 ] || fail "$4: $rate Mbit/s, the limit is 20"
}
# limited POD: 20 Mbit/s each way, and nobody else's
limited() {
  local pod rate
  for pod in b1 a2; do lab_start "serve-$pod" "$pod" nk-probe serve --tcp 5001; done
  slower "$1" a2 5000 'into the pod, from the same node'
  slower "$1" b1 5000 'into the pod, from the other node'
  slower "$1" a 5000 'into the pod, from its node'
  slower a2 "$1" 5001 'out of the pod, to the same node'
  slower b1 "$1" 5001 'out of the pod, to the other node'
  rate=$(lab_in a2 nk-probe stream "$(lab_ip b1 4)" 5001 --bytes 20000000 | jq '.gbit_s * 1000 | floor')
  at_least "Mbit/s of a pod without a limit" 60 "$rate"
  for pod in b1 a2; do lab_finish "serve-$pod" TERM > /dev/null; done
}
note "bandwidth"
if [ "$DEVICE" = veth ]; then
  limited p
else
  lab_namespace q
  ! chain add q "{$limits}" > "$lab/out" || fail "the bandwidth plugin takes a netkit device now: test its rates"
  contains "what the chain answers" veth "$(cat "$lab/out")"
  must_chain del q "{$limits}"

  note "bandwidth where the node may choose the device: this pod gets a veth, the others keep theirs"
  agent_again a '.device = "auto"' TERM
  must_chain add q "{$limits}"
  equal "q's device" veth "$(lab_in q ip -d -j link show eth0 | jq -r '.[0].linkinfo.info_kind')"
  equal "a2's device" netkit "$(lab_in a2 ip -d -j link show eth0 | jq -r '.[0].linkinfo.info_kind')"
  lab_start serve-q q nk-probe serve --tcp 5000
  works p q
  limited q
  lab_finish serve-q TERM > /dev/null
  must_chain check q "{$limits}"
  must_chain del q "{$limits}"
  agent_again a . TERM
fi

note "tuning"
equal "net.core.somaxconn of the pod" 500 "$(lab_in p sysctl -n net.core.somaxconn)"

lab_finish serve TERM > /dev/null
must_chain del p "$capabilities"
must_chain del p "$capabilities"

# The package's portmap looks for each family's rules in the other's table, and its bandwidth for a veth even without limits.
note "CHECK, of a pod without mappings"
capabilities=$(jq -c 'del(.portMappings)' <<< "$capabilities")
if [ "$DEVICE" != veth ]; then
  jq 'del(.plugins[] | select(.type == "bandwidth"))' "$lab/chain.conflist" > "$lab/shorter"
  mv "$lab/shorter" "$lab/chain.conflist"
fi
must_chain add p "$capabilities"
must_chain check p "$capabilities"
must_chain del p "$capabilities"

lab_unpod a a2
same_world a "$lab/before"
equal "rules of portmap for the pod" 0 "$(lab_in a iptables -t nat -S | grep -c 8080 || true)"
