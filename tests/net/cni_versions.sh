#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every verb in every version of the specification: the shape of results and errors, and what each verb leaves.
# devices: netkit netkit-l2 veth
. "$(dirname "$0")/../lib.sh"
open_lab
nodes a b
agent a
remember a "$lab/before"

get() { jq -r "$1" <<< "$answer"; }
plugin VERSION a p1 || fail "VERSION: $answer"
for version in 0.3.0 0.3.1 0.4.0 1.0.0 1.1.0; do
  equal "VERSION lists $version" 1 "$(get "[.supportedVersions[] | select(. == \"$version\")] | length")"
done

lab_namespace p1
for version in 0.3.0 0.3.1 0.4.0 1.0.0 1.1.0; do
  conf_filter=".cniVersion = \"$version\""
  plugin ADD a p1 || fail "ADD $version: $answer"
  added=$answer
  equal "cniVersion of the result" "$version" "$(get .cniVersion)"
  equal "families of the result ($version)" '4 6' "$(get '[.ips[].address | if contains(":") then 6 else 4 end] | sort | join(" ")')"
  case $version in
    0.*) equal "ips[].version ($version)" '4 6' "$(get '[.ips[].version] | sort | join(" ")')" ;;
    *) equal "ips[].version ($version)" '[null,null]' "$(get '[.ips[].version] | tostring')" ;;
  esac
  equal "interfaces ($version)" 2 "$(get '.interfaces | length')"
  equal "the pod's interface ($version)" "eth0 $(lab_path p1)" "$(get '[.interfaces[] | select((.sandbox // "") != "")][0] | "\(.name) \(.sandbox)"')"
  pod=$(get '[.interfaces[] | (.sandbox // "") != ""] | index(true)')
  equal "every address is the pod's ($version)" "[$pod,$pod]" "$(get '[.ips[].interface] | tostring')"
  host=$(get '[.interfaces[] | select((.sandbox // "") == "")][0].name')
  ip -n nk-a link show "$host" > /dev/null || fail "the host's interface $host of the result is not there"
  if [ "$version" = 1.1.0 ]; then
    equal "mtu of the pod's interface" "$(lab_in p1 ip -j link show eth0 | jq '.[0].mtu')" \
      "$(get ".interfaces[$pod].mtu")"
  else
    equal "mtu before 1.1.0" null "$(get ".interfaces[$pod].mtu")"
  fi
  for address in $(get '.ips[].address'); do
    contains "addresses on eth0" " ${address%/*}/" "$(lab_in p1 ip -o address show dev eth0)"
  done

  refused any exist ADD a p1
  conf_filter=".cniVersion = \"$version\" | .prevResult = $(jq -c . <<< "$added")"
  if [[ $version = 0.3.* ]]; then
    refused 1 CHECK CHECK a p1
  else
    plugin CHECK a p1 || fail "CHECK $version: $answer"
    equal "CHECK says nothing" '' "$answer"
  fi
  plugin DEL a p1 || fail "DEL $version: $answer"
  equal "DEL says nothing" '' "$answer"
  conf_filter=".cniVersion = \"$version\""
  plugin DEL a p1 || fail "DEL again, without prevResult, $version: $answer"
  netns='' plugin DEL a p1 || fail "DEL without CNI_NETNS, $version: $answer"
  if [ "$version" = 1.1.0 ]; then
    plugin STATUS a p1 || fail "STATUS: $answer"
    conf_filter=".cniVersion = \"$version\" | .\"cni.dev/valid-attachments\" = []"
    plugin GC a p1 || fail "GC: $answer"
  else
    refused 1 STATUS STATUS a p1
    refused 1 GC GC a p1
  fi
  same_world a "$lab/before"
done

# No version is 0.1.0; others are refused by name.
for filter in 'del(.cniVersion)' '.cniVersion = "0.1.0"' '.cniVersion = "0.2.0"'; do
  conf_filter=$filter
  if plugin ADD a p1; then plugin DEL a p1 || fail "DEL of 0.x: $answer"; else equal "code for $filter" 1 "$(get .code)"; fi
done
for version in 1.2.0 2.0.0 banana 1.1 ''; do
  conf_filter=".cniVersion = \"$version\""
  if plugin ADD a p1; then fail "version '$version' was accepted"; fi
  equal "code for version '$version'" 1 "$(get .code)"
done
same_world a "$lab/before"
