# SPDX-License-Identifier: Apache-2.0
# What Netkite occupies: the plugin, the agent with a full node of pods, its maps. Needs lab.sh.

bench_pods=110

# <metric> <unit> <value>: a row.
memory_row() { jq -nc --arg metric "$1" --arg unit "$2" --argjson value "$3" '{case: "memory", $metric, $value, $unit}'; }

# The kernel's own account of the maps that are pinned on node a.
kernel_map_bytes() {
  local pin
  find "$lab/bpf/a" -type f | while IFS= read -r pin; do
    bpftool -j map show pinned "$pin" 2> /dev/null | jq '.bytes_memlock // empty' || true
  done | jq -s add
}

# While all pods are there: rows to the file $1.
bench_node_here() {
  local status pid
  pid=$(lab_agent_pid a)
  status=$(netkite --socket "$lab/a/run/agent.sock" --output json status)
  {
    memory_row agent_pods pods "$(jq .endpoints <<< "$status")"
    memory_row agent_rss MiB "$(awk '/^Rss(Anon|File):/ { sum += $2 } END { print sum / 1024 }' "/proc/$pid/status")"
    memory_row agent_rss_anon MiB "$(awk '/^RssAnon:/ { print $2 / 1024 }' "/proc/$pid/status")"
    memory_row maps_reported bytes "$(jq .map_bytes <<< "$status")"
    memory_row maps_kernel bytes "$(kernel_map_bytes)"
  } >> "$1"
}

bench_memory_here() (
  local build report
  build=$(lab_build)
  memory_row plugin_size MiB "$(stat -c %s "$build/cni-plugin/netkite-cni" | awk '{ print $1 / 1048576 }')" >> "$1"
  lab_open
  lab_nodes_direct a b
  lab_agent a
  export lab
  report=$(lab_in a nk-cni bench --conf "$lab/a/net.conflist" --count "$bench_pods" --parallel 8 --prefix "$lab_prefix-bench" \
    --between "$root/dev/bench --here node")
  [ "$(jq .netkite.failures <<< "$report")" = 0 ] || die "ADD or DEL failed: $(jq -r .netkite.error <<< "$report")"
  memory_row plugin_peak MiB "$(jq '.netkite.max_rss_kib / 1024' <<< "$report")" >> "$1"
)
