# SPDX-License-Identifier: Apache-2.0
# Paths between pods and nodes, each measured the same way: two nodes joined by one veth pair, one client, one server.
# Runs in the instruction-counted machine (dev/bench starts it there); needs lab.sh.

# Few enough that a case takes seconds under emulation; more does not change the figures.
bench_rtt_count=300 bench_connect_count=100 bench_stream_bytes=8000000

datapath_cases=(host ptp bridge netkit netkit_overlay veth host_masq ptp_masq netkit_masq clusterip clusterip_packets
  clusterip_many nodeport nodeport_overlay nodeport_dsr nodeport_many kube_proxy nodeport_xdp kube_proxy_wire outside_nftables outside_bpf)

# <case> <client> <server> [IPv4 IPv6]: IPv4 under the case's name, IPv6 with -v6 behind it. The two addresses are asked
# instead of the server's own.
measure_path() {
  local client=$2 server=$3 name address family
  local -A names=([4]=$1 [6]=$1-v6) addresses=([4]=${4:-$(lab_ip "$3" 4)} [6]=${5:-$(lab_ip "$3" 6)})
  lab_start serve "$server" nk-probe serve --tcp 5000 --udp 5000
  for family in 4 6; do
    name=${names[$family]} address=${addresses[$family]}
    probe rtt .p50_us us --count "$bench_rtt_count"
    probe rtt-udp .p50_us us --count "$bench_rtt_count" --protocol udp
    probe connect .p50_us us --count "$bench_connect_count"
    probe stream .gbit_s Gbit/s --bytes "$bench_stream_bytes"
  done
  lab_finish serve TERM > /dev/null
  for family in 4 6; do
    name=${names[$family]} address=${addresses[$family]}
    probe path .p50_us us --count "$bench_rtt_count" --server "$(lab_path "$server")" --listen 5000
    probe path-udp .p50_us us --count "$bench_rtt_count" --server "$(lab_path "$server")" --listen 5000 --protocol udp
  done
}

# <name>: pods a1 and a2 are on node a, b1 is on node b.
measure_paths() {
  measure_path "$1-local" a1 a2
  measure_path "$1-remote" a1 b
  measure_path "$1-remote-pod" a1 b1
}

# <verb and metric> <jq path> <unit> <option…>: one figure of measure_path. The result is taken first and written then:
# a jq beside the measurement would share its only processor.
probe() {
  local metric=$1 path=$2 unit=$3 result
  shift 3
  result=$(lab_in "$client" nk-probe "${metric%-udp}" "$address" "${bench_port:-5000}" "$@")
  jq -c --arg case "$name" --arg metric "$metric" --arg unit "$unit" "{\$case, \$metric, value: $path, \$unit}" <<< "$result"
}

# <type> <node> [true]: the configuration of one of Debian's plugins, with host-local; true: with masquerade.
peer_conf() {
  local type=$1 node=$2 n=${lab_number[$2]} file=$lab/$2/$1.conf
  jq -n --arg type "$type" --arg n "$n" --arg dir "$lab/$node/ipam-$type" --argjson masq "${3:-false}" '{cniVersion: "1.0.0",
    name: $type, $type, isGateway: true, ipMasq: $masq, ipam: {type: "host-local", dataDir: $dir, routes: [{dst: "0.0.0.0/0"}, {dst: "::/0"}],
    ranges: [[{subnet: "10.77.\($n).0/24"}], [{subnet: "fd77:\($n)::/64"}]]}}' > "$file"
  echo "$file"
}

# What an administrator configures beside Debian's plugins: forwarding, and routes to the other node's pods.
route_between_nodes() {
  local node other
  for node in a b; do
    [ "$node" = a ] && other=2 || other=1
    lab_in "$node" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    # Bridged packets would otherwise also pass iptables: the slower way for the bridge.
    lab_in "$node" sysctl -qew net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0
    ip -n "$lab_prefix-$node" route add "10.77.$other.0/24" via "192.0.2.$other"
    ip -n "$lab_prefix-$node" route add "fd77:$other::/64" via "2001:db8::$other"
  done
}

# <type> [true]: pods a1, a2 and b1 by one of Debian's plugins.
raise_peer() {
  local conf_a conf_b
  route_between_nodes
  conf_a=$(peer_conf "$1" a "${2:-}") conf_b=$(peer_conf "$1" b "${2:-}")
  lab_pod a a1 "$conf_a"
  lab_pod a a2 "$conf_a"
  lab_pod b b1 "$conf_b"
}

# <device mode> <masquerade> [routing]: the same by Netkite.
raise_netkite() {
  local node
  for node in a b; do
    lab_agent "$node" ".device = \"$1\" | .masquerade = {enabled: $2} | .routing = \"${3:-native}\""
  done
  lab_pod a a1
  lab_pod a a2
  lab_pod b b1
}

# Plain routing everywhere: nobody masquerades, so no node tracks connections.
case_host() { measure_path host a b; }
case_ptp() { raise_peer ptp; measure_paths ptp; }
case_bridge() { raise_peer bridge; measure_paths bridge; }
case_netkit() { raise_netkite netkit false; measure_paths netkit; }
case_netkit_overlay() {
  raise_netkite netkit false overlay
  measure_path netkit-overlay-remote a1 b
  measure_path netkit-overlay-remote-pod a1 b1
}
case_veth() { raise_netkite veth false; measure_paths veth; }

# With masquerade everywhere: the kernel tracks every connection of both nodes, the hosts' own as well.
case_host_masq() {
  local node
  for node in a b; do
    lab_in "$node" nft add table inet masq
    lab_in "$node" nft add chain inet masq out '{ type nat hook postrouting priority 100; }'
    lab_in "$node" nft add rule inet masq out ip saddr 10.77.0.0/16 ip daddr != 10.77.0.0/16 masquerade
  done
  measure_path host-masq a b
}
case_ptp_masq() { raise_peer ptp true; measure_path ptp-masq-remote a1 b; }
case_netkit_masq() { raise_netkite netkit true; measure_path netkit-masq-remote a1 b; }

# Pods as by case_netkit, and node a serves so many services, of which 10.96.0.1 and fd96::1 lead to b1; so does its node
# port 30080; that one is served by UDP as well. With `outside` each has an external address, too. $services_config: of the node's agent.
# raise_services COUNT [JQ-FILTER [outside]]
raise_services() {
  local each=2
  [ -z "${3:-}" ] || each=3
  mkdir "$lab/manifests"
  jq -nc --argjson count "$1" --arg outside "${3:-}" --arg v4 "$(lab_ip b1 4)" --arg v6 "$(lab_ip b1 6)" '
    (range(1; 3) | {apiVersion: "v1", kind: "Node", metadata: {name: (if . == 1 then "a" else "b" end)},
      spec: {podCIDRs: ["10.77.\(.).0/24", "fd77:\(.)::/64"]},
      status: {addresses: ["192.0.2.\(.)", "2001:db8::\(.)" | {type: "InternalIP", address: .}]}}),
    (range(1; $count + 1) | {apiVersion: "v1", kind: "Service", metadata: {name: "s\(.)"}, spec: {
      clusterIPs: ["10.96.\(. / 256 | floor).\(. % 256)", "fd96::\(. / 10000 | floor):\(. % 10000)"],
      externalIPs: (if $outside == "" then [] else ["10.97.\(. / 256 | floor).\(. % 256)"] end),
      ports: (if . == 1 then ["TCP", "UDP" | {name: ascii_downcase, protocol: ., port: 5000, nodePort: 30080}] else [{protocol: "TCP", port: 5000}] end)}}),
    ({IPv4: $v4, IPv6: $v6} | to_entries[] | {apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice",
      metadata: {name: "s1-\(.key)", labels: {"kubernetes.io/service-name": "s1"}}, addressType: .key,
      endpoints: [{addresses: [.value], nodeName: "b"}], ports: ["TCP", "UDP" | {name: ascii_downcase, protocol: ., port: 5000}]})' |
    sed 's/^/---\n/' > "$lab/manifests/all.yaml"
  services_config=".device = \"netkit\" | .masquerade = {enabled: false} | del(.pools, .peers) | .services = {enabled: true} |
    .kubernetes = {enabled: true, manifests: \"$lab/manifests\"} | ${2:-.}"
  lab_agent_stop a
  lab_agent a "$services_config"
  until lab_in a netkite --socket "$lab/a/run/agent.sock" --output json status |
    jq -e --argjson entries $((each * $1 + each + 4)) '.maps[] | select(.name == "nk_frontend_v1").entries == $entries' > /dev/null; do sleep 1; done
}
case_clusterip() {
  raise_netkite netkit false
  raise_services 10
  measure_path direct a1 b1
  measure_path netkit-clusterip a1 b1 10.96.0.1 fd96::1
}
# The pods' sockets are in no control group that the programs see.
case_clusterip_packets() {
  local group
  empty_group
  raise_netkite netkit false
  raise_services 10 ".services.cgroup = \"$group\""
  measure_path netkit-clusterip-packets a1 b1 10.96.0.1 fd96::1
}
case_clusterip_many() {
  raise_netkite netkit false
  raise_services 10000
  measure_path netkit-clusterip-10000 a1 b1 10.96.0.1 fd96::1
}

# A client outside of the cluster, on a link of its own with node a, which it asks at the address that b knows it by.
raise_client() {
  lab_namespace client
  ip -n "$lab_prefix-a" link add eth1 type veth peer name eth0 netns "$lab_prefix-client"
  ip -n "$lab_prefix-a" address add 198.18.0.1/24 dev eth1
  ip -n "$lab_prefix-a" address add 2001:2::1/64 dev eth1 nodad
  ip -n "$lab_prefix-client" address add 198.18.0.2/24 dev eth0
  ip -n "$lab_prefix-client" address add 2001:2::2/64 dev eth0 nodad
  ip -n "$lab_prefix-a" link set eth1 up
  ip -n "$lab_prefix-client" link set eth0 up
  ip -n "$lab_prefix-client" route add 192.0.2.0/24 via 198.18.0.1
  ip -n "$lab_prefix-client" route add 2001:db8::/64 via 2001:2::1
}
# XDP wants what network cards give and a veth does not: checksums, and an end that takes what is redirected. Whoever is
# compared with it has the same links.
raise_wires() {
  lab_in client nk-wire eth0
  lab_in a nk-wire eth1
  lab_in a nk-wire eth0
  lab_in b nk-wire eth0
}
# $group: nobody's.
empty_group() {
  group=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)/netkite-bench
  mkdir -p "$group"
}
# The same, and node a serves. raise_nodeport COUNT [JQ-FILTER [ROUTING]]
raise_nodeport() {
  local group
  # The client's sockets are none of node a's.
  empty_group
  raise_netkite netkit false "${3:-native}"
  raise_client
  raise_services "$1" ".uplinks = [\"eth0\", \"eth1\"] | .services.cgroup = \"$group\" | ${2:-.}" outside
}
case_nodeport() {
  raise_nodeport 10
  bench_port=30080 measure_path nodeport-tcx client b1 192.0.2.1 2001:db8::1
}
# Node b has a link with the client, too, for its own answers. raise_nodeport_overlay JQ-FILTER
raise_nodeport_overlay() {
  raise_nodeport 10 ".routing = \"overlay\" | $1" overlay
  ip -n "$lab_prefix-b" link add eth1 type veth peer name eth1 netns "$lab_prefix-client"
  ip -n "$lab_prefix-b" address add 198.18.1.1/24 dev eth1
  ip -n "$lab_prefix-b" address add 2001:2:0:1::1/64 dev eth1 nodad
  ip -n "$lab_prefix-client" address add 198.18.1.2/24 dev eth1
  ip -n "$lab_prefix-client" address add 2001:2:0:1::2/64 dev eth1 nodad
  ip -n "$lab_prefix-b" link set eth1 up
  ip -n "$lab_prefix-client" link set eth1 up
  ip -n "$lab_prefix-b" route add 198.18.0.2 via 198.18.1.2
  ip -n "$lab_prefix-b" route add 2001:2::2 via 2001:2:0:1::2
  lab_agent_stop b
  lab_agent b "$services_config"
}
case_nodeport_overlay() {
  raise_nodeport_overlay .
  bench_port=30080 measure_path nodeport-overlay client b1 192.0.2.1 2001:db8::1
}
case_nodeport_dsr() {
  raise_nodeport_overlay '.services.dsr = true'
  bench_port=30080 measure_path nodeport-dsr client b1 192.0.2.1 2001:db8::1
}
case_nodeport_many() {
  raise_nodeport 10000
  bench_port=30080 measure_path nodeport-tcx-10000 client b1 192.0.2.1 2001:db8::1
}
# And without anybody between: what the two ends and one link cost.
case_nodeport_xdp() {
  raise_nodeport 10 '.services.xdp = "auto"'
  raise_wires
  # Whatever the kernel tells of an uplink makes the agent look at it again.
  ip -n "$lab_prefix-a" link set eth0 txqueuelen 999
  ip -n "$lab_prefix-a" link set eth1 txqueuelen 999
  measure_path wire a b1
  bench_port=30080 measure_path nodeport-xdp client b1 192.0.2.1 2001:db8::1
}
# The same pods, and the rules that kube-proxy's nftables mode would write for this node port: a look-up by port, a mark,
# another address, and masquerade of what is marked; and those that it always has, by which every packet comes: new
# connections are looked up among those that may not be, before the translation and when forwarded.
raise_kube_proxy() {
  raise_netkite netkit false
  raise_client
  lab_in a nft -f - <<RULES
table inet kube-proxy {
  chain tcp4 { meta mark set 0x4000; meta l4proto tcp dnat ip to $(lab_ip b1 4):5000; }
  chain tcp6 { meta mark set 0x4000; meta l4proto tcp dnat ip6 to [$(lab_ip b1 6)]:5000; }
  chain udp4 { meta mark set 0x4000; meta l4proto udp dnat ip to $(lab_ip b1 4):5000; }
  chain udp6 { meta mark set 0x4000; meta l4proto udp dnat ip6 to [$(lab_ip b1 6)]:5000; }
  map ports4 { type inet_proto . inet_service : verdict; elements = { tcp . 30080 : goto tcp4, udp . 30080 : goto udp4 }; }
  map ports6 { type inet_proto . inet_service : verdict; elements = { tcp . 30080 : goto tcp6, udp . 30080 : goto udp6 }; }
  map firewall { type inet_proto . inet_service : verdict; }
  map no-endpoints { type inet_proto . inet_service : verdict; }
  chain firewall-check { meta l4proto . th dport vmap @firewall; }
  chain endpoints-check { meta l4proto . th dport vmap @no-endpoints; }
  chain filter-prerouting { type filter hook prerouting priority -110; ct state new jump firewall-check; }
  chain filter-forward { type filter hook forward priority 0; ct state new jump endpoints-check; }
  chain prerouting {
    type nat hook prerouting priority -100;
    ip daddr 192.0.2.1 meta l4proto . th dport vmap @ports4
    ip6 daddr 2001:db8::1 meta l4proto . th dport vmap @ports6
  }
  chain postrouting {
    type nat hook postrouting priority 100;
    meta mark & 0x4000 == 0 return
    meta mark set meta mark ^ 0x4000
    masquerade fully-random
  }
}
RULES
}
case_kube_proxy() {
  raise_kube_proxy
  bench_port=30080 measure_path kube-proxy client b1 192.0.2.1 2001:db8::1
}
case_kube_proxy_wire() {
  raise_kube_proxy
  raise_wires
  bench_port=30080 measure_path kube-proxy-wire client b1 192.0.2.1 2001:db8::1
}

# A pod asks somebody outside of the cluster, under the node's address: by the stack's table, and by the programs.
reach_outside() {
  raise_client
  lab_agent a ".device = \"netkit\" | .uplinks = [\"eth0\", \"eth1\"] | .masquerade = {mode: \"$1\"}"
  lab_pod a a1
  measure_path "outside-$1" a1 client 198.18.0.2 2001:2::2
}
case_outside_nftables() { reach_outside nftables; }
case_outside_bpf() { reach_outside bpf; }

# Rows to the file $1.
bench_datapath_here() {
  local name
  for name in ${NETKITE_CASES:-"${datapath_cases[@]}"}; do
    (
      lab_open
      lab_nodes_direct a b
      "case_$name" >> "$1"
    )
  done
}
