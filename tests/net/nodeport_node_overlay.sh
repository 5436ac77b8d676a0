#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nodeport_node.sh once more, where nodes reach each other's pods by the overlay, and programs masquerade.
# devices: netkit
export NODEPORT_ROUTING=overlay NODEPORT_MASQUERADE=bpf
. "$(dirname "$0")/nodeport_node.sh"
