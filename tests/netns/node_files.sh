#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the DaemonSet's init container does to a node's folders: files come whole, the configuration last, nothing is
# written twice, and what is missing is said before anything is changed.
. "$(dirname "$0")/../lib.sh"
open_lab
script=$root/deploy/kubernetes/node-files
export HOST_BIN=$lab/host-bin HOST_CONF=$lab/host-conf PLUGIN=$lab/plugin CONFLIST=$lab/conflist
mkdir "$HOST_BIN" "$HOST_CONF"
# As on nodes where the plugins came out of an archive.
chown 1001 "$HOST_BIN" "$HOST_CONF"
echo first > "$PLUGIN"
cp "$root/deploy/10-netkite.conflist" "$CONFLIST"
# With the capabilities that the manifests give their container.
declare -A bounds
for manifest in install uninstall; do
  added=$(awk '/name: node-files/ { here = 1 } here && /capabilities:/ { print; exit }' "$root/deploy/kubernetes/$manifest.yaml" |
    sed -n 's/.*add: \[\(.*\)\].*/\1/p' | tr -d '" ' | sed 's/[^,]*/+&/g' | tr A-Z a-z)
  bounds[$manifest]=-all${added:+,$added}
done
node_files() {
  local manifest=install
  [ "${1:-}" != remove ] || manifest=uninstall
  setpriv --bounding-set "${bounds[$manifest]}" --inh-caps=-all busybox sh "$script" "$@" > "$lab/said" 2>&1
}
there() { (cd "$lab" && find host-bin host-conf -mindepth 1 | sort | xargs); }
inode() { stat -c %i "$1"; }

note "refusals"
! node_files install || fail "a conflist whose plugin is not there was installed"
contains "what was said" portmap "$(cat "$lab/said")"
equal "files" "" "$(there)"
touch "$HOST_BIN/portmap"
# The machine may have one of its own under the test's.
while [ "$(stat -f -c %T /sys/fs/bpf)" = bpf_fs ]; do umount /sys/fs/bpf; done
! node_files install || fail "installed on a node without a BPF file system"
contains "what was said" 'mount -t bpf' "$(cat "$lab/said")"
mount -t bpf bpf /sys/fs/bpf
! node_files || fail "no verb, no complaint"
equal "files" "host-bin/portmap" "$(there)"

note "installed, again, upgraded"
node_files install || fail "$(cat "$lab/said")"
equal "files" "host-bin/netkite host-bin/portmap host-conf/10-netkite.conflist" "$(there)"
equal "modes" "755 644" "$(stat -c %a "$HOST_BIN/netkite" "$HOST_CONF/10-netkite.conflist" | xargs)"
plugin=$(inode "$HOST_BIN/netkite") conflist=$(inode "$HOST_CONF/10-netkite.conflist")
node_files install || fail "$(cat "$lab/said")"
equal "the same files" "$plugin $conflist" "$(inode "$HOST_BIN/netkite") $(inode "$HOST_CONF/10-netkite.conflist")"
echo second > "$PLUGIN"
exec 3< "$HOST_BIN/netkite"
node_files install || fail "$(cat "$lab/said")"
equal "what a runtime has open" first "$(cat <&3)"
equal "what a runtime opens now" second "$(cat "$HOST_BIN/netkite")"
exec 3<&-
equal "the configuration, which is the same" "$conflist" "$(inode "$HOST_CONF/10-netkite.conflist")"

note "a copy that breaks off leaves what was there"
mount -t tmpfs -o size=64k tmpfs "$HOST_BIN"
touch "$HOST_BIN/portmap"
rm "$HOST_CONF/10-netkite.conflist"
head -c 200000 /dev/zero > "$PLUGIN"
! node_files install || fail "a plugin larger than the node's disk was installed"
equal "plugins" portmap "$(ls -A "$HOST_BIN")"
[ ! -e "$HOST_CONF/10-netkite.conflist" ] || fail "the configuration came without its plugin"
umount "$HOST_BIN"

note "removed, twice"
for _ in 1 2; do node_files remove || fail "$(cat "$lab/said")"; done
equal "files" "host-bin/portmap" "$(there)"
