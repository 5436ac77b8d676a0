#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# podman runs real containers whose network is ours: they talk, and leave nothing.
# devices: netkit
. "$(dirname "$0")/../lib.sh"
command -v podman conmon runc busybox > /dev/null || skip "no podman, conmon, runc or busybox: dev/setup lab installs them"
usual_lab
remember a "$lab/before"

mkdir -p "$lab"/rootfs/{bin,proc,sys,dev,etc,tmp,run} "$lab"/podman/{net.d,home,tmp}
cp "$(command -v busybox)" "$lab/rootfs/bin/busybox"
for applet in sh sleep ip ping cat nc; do ln -s busybox "$lab/rootfs/bin/$applet"; done
jq '.cniVersion = "1.0.0"' "$lab/a/net.conflist" > "$lab/podman/net.d/10-netkite.conflist"
cat > "$lab/podman/containers.conf" <<CONF
[containers]
apparmor_profile = "unconfined"
default_sysctls = []
cgroupns = "host"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
static_dir = "$lab/podman/static"
tmp_dir = "$lab/podman/tmp"
volume_path = "$lab/podman/volumes"
[network]
network_backend = "cni"
network_config_dir = "$lab/podman/net.d"
default_network = "netkite"
cni_plugin_dirs = ["$CNI_PATH"]
CONF
cat > "$lab/podman/storage.conf" <<CONF
[storage]
driver = "vfs"
graphroot = "$lab/podman/root"
runroot = "$lab/podman/runroot"
CONF
at_close='clear_cgroups libpod_parent'
p() {
  lab_in a env HOME="$lab/podman/home" CONTAINERS_CONF="$lab/podman/containers.conf" \
    CONTAINERS_STORAGE_CONF="$lab/podman/storage.conf" podman --root "$lab/podman/root" --runroot "$lab/podman/runroot" "$@"
}
run() { p run --detach --name "$1" --network netkite --rootfs "$lab/rootfs" /bin/sleep 1000 > "$lab/out" 2>&1 || fail "podman run: $(cat "$lab/out")"; }
run one
run two
equal "endpoints" 4 "$(ctl a endpoints | jq '[.. | objects | select(has("host_ifname"))] | length')"
address() { p exec "$1" ip -o "-$2" address show dev eth0 | sed -E 's/.* inet6? ([^/ ]+).*/\1/' | head -1; }
for family in $both; do
  two=$(address two "$family")
  note "two has $two"
  p exec one ping -c 2 -W 2 "$two" > "$lab/out" || fail "container one does not reach $two: $(cat "$lab/out")"
  for target in a1 b1 a world; do
    p exec one ping -c 2 -W 2 "$(lab_ip "$target" "$family")" > "$lab/out" || fail "container one does not reach $target: $(cat "$lab/out")"
  done
  lab_in b1 ping -q -c 2 -W 2 "$(address one "$family")" > /dev/null || fail "b1 does not reach container one"
done
agent_again a . KILL
p exec two ping -c 2 -W 2 "$(address one 4)" > "$lab/out" || fail "after a restart: $(cat "$lab/out")"
for name in one two; do p rm --force --time 0 "$name" > "$lab/out" 2>&1 || fail "podman rm: $(cat "$lab/out")"; done
p run --rm --network netkite --rootfs "$lab/rootfs" /bin/ping -c 2 -W 2 "$(lab_ip a1 4)" > "$lab/out" 2>&1 || fail "podman run: $(cat "$lab/out")"
same_world a "$lab/before"
clear_cgroups libpod_parent
equal "cgroups left" "" "$(find /sys/fs/cgroup -depth -type d -path '*libpod_parent*')"
