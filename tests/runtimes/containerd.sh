#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# containerd runs real containers whose network is ours: they talk, and leave nothing.
# devices: netkit
. "$(dirname "$0")/../lib.sh"
command -v containerd ctr runc busybox > /dev/null || skip "no containerd, ctr, runc or busybox: dev/setup lab installs them"
usual_lab
remember a "$lab/before"

# A root file system of one static program, and everything of containerd's under the laboratory. ctr knows only the
# default places for plugins and configuration: they are covered in this mount namespace.
mkdir -p "$lab"/rootfs/{bin,proc,sys,dev,etc,tmp} "$lab"/containerd "$lab"/net.d
cp "$(command -v busybox)" "$lab/rootfs/bin/busybox"
for applet in sh sleep ip ping cat nc; do ln -s busybox "$lab/rootfs/bin/$applet"; done
mount -t tmpfs tmpfs /opt
mkdir -p /opt/cni /etc/cni/net.d
cp -rL "$CNI_PATH" /opt/cni/bin
mount -t tmpfs tmpfs /etc/cni/net.d
jq '.cniVersion = "1.0.0"' "$lab/a/net.conflist" > /etc/cni/net.d/10-netkite.conflist
cat > "$lab/containerd/config.toml" <<CONF
version = 2
root = "$lab/containerd/root"
state = "$lab/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "$lab/containerd/socket"
CONF
nsenter --net="$(lab_path a)" containerd --config "$lab/containerd/config.toml" > "$lab/containerd/log" 2>&1 &
echo $! > "$lab/jobs/containerd.pid"
at_close='clear_cgroups netkite-test'
c() { lab_in a ctr --address "$lab/containerd/socket" --namespace netkite-test "$@"; }
until_true 20 c version > /dev/null 2>&1 || fail "containerd does not start: $(tail -20 "$lab/containerd/log")"

run() { c run --detach --cni --rootfs "$lab/rootfs" "$1" /bin/sleep 1000 > "$lab/out" 2>&1 || fail "ctr run: $(cat "$lab/out") $(tail -5 "$lab/containerd/log")"; }
run one
run two
equal "endpoints" 4 "$(ctl a endpoints | jq '[.. | objects | select(has("host_ifname"))] | length')"
endpoint() { ctl a endpoints | jq -r --arg id "$1" "[.. | objects | select(.container_id? | strings | endswith(\$id)) | .addresses[]][$2]"; }
inside() { c task exec --exec-id "x$RANDOM" "$@"; }
note "one: $(endpoint one 0) $(endpoint one 1), two: $(endpoint two 0) $(endpoint two 1)"
for index in 0 1; do
  two=$(endpoint two "$index")
  inside one /bin/ping -c 2 -W 2 "$two" > "$lab/out" 2>&1 || fail "container one does not reach $two: $(cat "$lab/out")"
done
for target in a1 b1 a world; do
  inside one /bin/ping -c 2 -W 2 "$(lab_ip "$target" 4)" > "$lab/out" 2>&1 || fail "container one does not reach $target: $(cat "$lab/out")"
done
lab_in b1 ping -q -c 2 -W 2 "$(endpoint one 0)" > /dev/null || fail "b1 does not reach container one"

# The agent goes and comes while containers run.
agent_again a . KILL
inside two /bin/ping -c 2 -W 2 "$(endpoint one 0)" > "$lab/out" || fail "after a restart: $(cat "$lab/out")"

for name in one two; do
  c task kill --signal KILL "$name" > /dev/null
  stopped() { [ "$(c task ls | awk -v name="$name" '$1 == name { print $3 }')" != RUNNING ]; }
  until_true 20 stopped || fail "container $name does not stop"
  c task delete "$name" > "$lab/out" 2>&1 || c task ls
  c container delete "$name" > "$lab/out" 2>&1 || fail "container delete: $(cat "$lab/out")"
done
# ctr leaves the network of a detached container to its caller: these two are gone without a DEL, so GC has the word.
conf_filter='.cniVersion = "1.1.0" | ."cni.dev/valid-attachments" = [{"containerID": "nk-a1", "ifname": "eth0"}, {"containerID": "nk-a2", "ifname": "eth0"}]'
plugin GC a a1 || fail "GC: $answer"
unset conf_filter
same_world a "$lab/before"

# In the foreground ctr does the whole cycle itself: ADD, run, DEL.
c run --rm --cni --rootfs "$lab/rootfs" three /bin/ping -c 2 -W 2 "$(lab_ip a1 4)" > "$lab/out" 2>&1 || fail "ctr run: $(cat "$lab/out")"
contains "the ping of container three" ' 0% packet loss' "$(cat "$lab/out")"
same_world a "$lab/before"
lab_end_process "$(cat "$lab/jobs/containerd.pid")" TERM
rm "$lab/jobs/containerd.pid"
clear_cgroups netkite-test
equal "cgroups left" "" "$(find /sys/fs/cgroup -depth -type d -path '*netkite-test*')"
