#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab's machine: a hundred pods at once, with and without expedited grace periods. For each a line: on or off as
# datapath.expedite_rcu is, tab, milliseconds until the last ADD is done (median of three).
. "$(dirname "$0")/../../dev/lib/common.sh"
for part in lab build_lab bench_cni; do . "$root/dev/lib/$part.sh"; done

for expedite in true false; do
  (
    lab_open
    lab_nodes_direct a b
    lab_agent a ".pools |= .[0:1] | .datapath.expedite_rcu = $expedite"
    cp "$lab/a/net.conflist" "$lab/netkite.conf"
    cni_round 3 1 netkite > /dev/null   # caches are warm afterwards
    for _ in 1 2 3; do cni_round 100 100 netkite; done |
      jq -rs --arg expedite "$expedite" 'if any(.[]; .netkite.failures > 0) then error("a call failed") else . end |
        [if $expedite == "true" then "on" else "off" end, (map(.netkite.add_total_ms) | sort | .[1] | round)] | @tsv'
  )
done
