#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The configuration is strict: what is wrong is named with its path, and effective values can be read back.
. "$(dirname "$0")/../lib.sh"
open_lab
nodes a b
lab_config a > "$lab/good.json"
check() { lab_in a netkite-agent --check-config --config "$1" > "$lab/out" 2> "$lab/err"; }
check "$lab/good.json" || fail "a good configuration is refused: $(cat "$lab/err")"
jq -e '.device == "auto" and .masquerade.enabled == true and .datapath.position == "first"' "$lab/out" > /dev/null ||
  fail "the effective values lack defaults: $(cat "$lab/out")"
cp "$lab/out" "$lab/effective.json"
check "$lab/effective.json" || fail "the agent refuses its own values: $(cat "$lab/err")"
cmp -s "$lab/out" "$lab/effective.json" || fail "values change when they are read back"

# bad PART FILTER: refused, and the message names PART
bad() {
  jq "$2" "$lab/good.json" > "$lab/bad.json"
  ! check "$lab/bad.json" || fail "accepted: $2"
  contains "the refusal of $2" "$1" "$(cat "$lab/out" "$lab/err")"
}
bad devise '.devise = "veth"'
bad 'masquerade.on' '.masquerade = {"on": true}'
bad 'peers[0].adress' '.peers[0].adress = "x"'
bad device '.device = "tap"'
bad 'pools' '.pools = []'
bad 'pools[0]' '.pools = ["10.0.0.0/33"]'
bad pools '.pools = ["10.0.0.0/24", "10.1.0.0/24"]'
bad 'pools[0]' '.pools[0] = "10.77.1.7/24"'
bad 'peers[0].pod_ranges' '.peers[0].pod_ranges = ["10.77.1.0/24"]'
bad mtu '.mtu = -1'
bad mtu '.mtu = "1500"'
bad mtu '.mtu = 100000'
bad 'datapath.max_endpoints' '.datapath.max_endpoints = 0'
bad 'datapath.event_buffer' '.datapath.event_buffer = 1000'
bad 'datapath.compile' '.datapath.compile = "gcc"'
bad 'prefilter.mode' '.prefilter.mode = "fast"'
bad 'prefilter.deny[0]' '.prefilter.deny = ["banana"]'
bad 'hooks[0]' '.hooks = [{"name": "x"}]'
bad 'hooks[0].attach' '.hooks = [{"name": "x", "object": "/x.o", "attach": "everywhere"}]'
bad log_level '.log_level = "loud"'
for text in '' '{' '[]' '{"pools": ["10.0.0.0/24"], "pools": ["10.1.0.0/24"]}'; do
  printf '%s' "$text" > "$lab/bad.json"
  ! check "$lab/bad.json" || fail "accepted: $text"
  [ -s "$lab/err" ] || [ -s "$lab/out" ] || fail "refused without a word: $text"
done
! check "$lab/absent.json" || fail "a file that is not there is accepted"
contains "the refusal" absent.json "$(cat "$lab/out" "$lab/err")"

# SIGHUP: peers and masquerade change in the running agent, a broken file changes nothing.
agent a
agent b
lab_pod a a1
lab_pod b b1
works a1 b1
works a1 world
remember a "$lab/before"
cp "$lab/a/agent.json" "$lab/a/whole.json"
printf '{' > "$lab/a/agent.json"
kill -HUP "$(lab_agent_pid a)"
complained() { grep -qE 'agent.json|configuration' "$lab/a/agent.log"; }
until_true 3 complained || fail "no complaint about a broken file"
same_world a "$lab/before"
jq '.masquerade.enabled = false' "$lab/a/whole.json" > "$lab/a/agent.json"
kill -HUP "$(lab_agent_pid a)"
no_table() { ! lab_in a nft list table inet netkite > /dev/null 2>&1; }
until_true 3 no_table || fail "masquerade off: the table is still there"
silent a1 world
works a1 b1
jq '.peers = []' "$lab/a/whole.json" > "$lab/a/agent.json"
kill -HUP "$(lab_agent_pid a)"
no_remotes() { [ "$(ctl a status | jq .remotes)" = 0 ]; }
until_true 3 no_remotes || fail "a peer that is gone from the file still has remotes"
cp "$lab/a/whole.json" "$lab/a/agent.json"
kill -HUP "$(lab_agent_pid a)"
works a1 b1
works a1 world
same_world a "$lab/before"

# --cleanup takes everything of ours away, and nothing else.
ip -n nk-a route add 203.0.113.0/24 dev eth0
lab_agent_stop a TERM
lab_in a netkite-agent --cleanup --config "$lab/a/agent.json" > "$lab/out" 2>&1 || fail "--cleanup: $(cat "$lab/out")"
equal "pins after --cleanup" "" "$(find "$lab/bpf/a" -type f 2> /dev/null || true)"
equal "routes of ours after --cleanup" 0 "$(ip -n nk-a route show table all proto 178 | wc -l)"
no_table || fail "the nftables table is left after --cleanup"
equal "the foreign route" 1 "$(ip -n nk-a route show 203.0.113.0/24 | wc -l)"
