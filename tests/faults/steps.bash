# SPDX-License-Identifier: Apache-2.0
# Stepping through a program's system calls; for the scripts in this folder.
# strace counts the calls of each name, so (name, n) is one step of a run: `steps FILE` lists them in the order of a trace.
command -v strace > /dev/null || skip "no strace: dev/setup lab installs it"

# steps TRACE [START [NAMES]]: "name n" for every call from the first that matches START; only NAMES (a|b|c) where given.
steps() {
  awk -v start="${2:-}" -v names="${3:-}" '{
      line = $0; sub(/^[0-9]+ +/, "", line)
      if (line !~ /^[a-z_0-9]+\(/) next
      name = line; sub(/\(.*/, "", name)
      count[name]++
      if (!begun && (start == "" || line ~ start)) begun = 1
      if (begun && name != "exit_group" && (names == "" || name ~ "^(" names ")$")) print name, count[name]
    }' "$1"
}
# Every step on a fast machine, every few on a slow one, always the last.
thinned() { awk -v every="$slow" '{ last = $0 } NR % every == 1 || every == 1 { print; last = "" } END { if (last != "") print last }'; }

no_device_in() { ! lab_in "$1" ip link show eth0 > /dev/null 2>&1; }
