# SPDX-License-Identifier: Apache-2.0
# ADD and DEL of Netkite, ptp and bridge by the same runtime on the same node, in turns. Needs lab.sh and bench_datapath.sh.
# One IPv4 address a pod for all of them: ptp waits seconds for an IPv6 address.

bench_serial_count=60 bench_burst_rounds=3
[ -z "${NETKITE_SLOW:-}" ] || bench_serial_count=20 bench_burst_rounds=1

# The three configurations, side by side on node a.
cni_confs() {
  local type
  lab_agent a '.pools |= .[0:1]'
  cp "$lab/a/net.conflist" "$lab/netkite.conf"
  for type in ptp bridge; do jq 'del(.ipam.ranges[1], .ipam.routes[1])' "$(peer_conf "$type" a)" > "$lab/$type.conf"; done
}

# <count> <parallel> <network…>: a report by nk-cni for each network, in this order.
cni_round() {
  local count=$1 parallel=$2 name confs=()
  shift 2
  for name in "$@"; do confs+=(--conf "$lab/$name.conf"); done
  lab_in a nk-cni bench "${confs[@]}" --count "$count" --parallel "$parallel" --prefix "$lab_prefix-bench"
}

# Reports to rows: medians over the rounds. $1: here or vm; $2: prefix of the burst's metrics, empty for serial ones.
cni_rows() {
  jq -sc --arg where "$1" --arg burst "$2" '
    def median: sort | .[length / 2 | floor];
    map(to_entries[]) | group_by(.key)[] | .[0].key as $name | map(.value) | . as $rounds |
    if $burst == "" then ["add_p50", "add_p99", "del_p50", "del_p99"] | map([., .])
    else [["add_total", $burst], ["add_p99", "\($burst)_add_p99"], ["del_total", "\($burst)_del"]] end |
    (.[] as [$field, $metric] | {$metric, value: ($rounds | map(.["\($field)_ms"]) | median), unit: "ms"}),
    {metric: (if $burst == "" then "failures" else "\($burst)_failures" end), value: ($rounds | map(.failures) | add), unit: "calls"} |
    {case: (if $name == "netkite" then "cni-\($where)" else "cni-\($where)-\($name)" end)} + .'
}

# Rows to the file $1; $2: native or vm.
bench_cni_here() (
  local burst round networks=(netkite ptp bridge)
  lab_open
  lab_nodes_direct a b
  cni_confs
  cni_round 3 1 "${networks[@]}" > /dev/null   # caches are warm afterwards
  cni_round "$bench_serial_count" 1 "${networks[@]}" | cni_rows "$2" "" >> "$1"
  for burst in 30 100; do
    for round in $(seq "$bench_burst_rounds"); do
      cni_round "$burst" "$burst" "${networks[@]}"
      networks=("${networks[@]:1}" "${networks[0]}")   # another one goes first
    done | cni_rows "$2" "burst$burst" >> "$1"
  done
)
