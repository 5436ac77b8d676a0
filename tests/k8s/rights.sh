#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The DaemonSet's containers have the rights that they need and no other: without any one of the agent's capabilities the
# agent does not get ready, and says what is missing; with all of them back it does.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/control.bash"
. "$(dirname "$0")/kubelet.bash"
. "$(dirname "$0")/daemonset.bash"
open_lab
nodes a control
at_close=close_cluster
close_cluster() { lower_rcu_of a; close_kubelets; }
control_up
controllers_up
bare_node a
image_on a
install_netkite

note "what the kernel says of the agent's process"
listed=$(in_system get daemonset netkite -o json | jq -r '.spec.template.spec.containers[0].securityContext.capabilities.add | join(" ")')
declare -A bit=([NET_ADMIN]=12 [SYS_ADMIN]=21)   # linux/capability.h
mask=0
for capability in $listed; do mask=$((mask | 1 << bit[$capability])); done
process=$(pgrep -f '^/usr/sbin/netkite-agent$')
said() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$process/status"; }
for set in CapEff CapPrm CapBnd; do equal "$set" "$(printf '%016x' "$mask")" "$(said "$set")"; done
equal CapAmb 0000000000000000 "$(said CapAmb)"
equal "no new privileges" 1 "$(said NoNewPrivs)"
equal "filtered system calls" 2 "$(said Seccomp)"

logs() { in_system logs -l app.kubernetes.io/name=netkite -c agent --tail 20 2> /dev/null || true; }
with() {
  in_system patch daemonset netkite -p "$(jq -n --argjson add "$1" '{spec: {template: {spec: {containers: [
    {name: "agent", securityContext: {capabilities: {$add}}}]}}}}')" > /dev/null
}
declare -A complaint=([NET_ADMIN]='not permitted' [SYS_ADMIN]='CAP_SYS_ADMIN')
for capability in $listed; do
  note "without $capability"
  with "$(jq -nc --arg all "$listed" --arg without "$capability" '($all | split(" ")) - [$without]')"
  eventually 120 '[[ $(logs) = *"${complaint[$capability]}"* ]]' || fail "nobody says that $capability is missing: $(why_not)"
  if rolled_out 5 > /dev/null 2>&1; then fail "the agent is ready without $capability"; fi
  logs | tail -2
done
note "with all of them again"
with "$(jq -nc --arg all "$listed" '$all | split(" ")')"
# It has been started again and again by now, and the kubelet waits before the next time.
in_system delete pods -l app.kubernetes.io/name=netkite --wait=false > /dev/null
rolled_out || fail "the DaemonSet does not get ready again: $(why_not)"
uninstall_netkite
