#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab's machine: two pods of one node. For each measurement of dev/bench a line: its name, tab, thousands of
# instructions; -v6 by IPv6.
. "$(dirname "$0")/../../dev/lib/common.sh"
for part in lab build_lab bench_datapath; do . "$root/dev/lib/$part.sh"; done

lab_open
lab_nodes_direct a b
raise_netkite netkit false
measure_path local a1 a2 | jq -r 'select(.unit == "us") | [.metric + (.case | sub("local"; "")), .value] | @tsv'
