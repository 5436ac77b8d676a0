#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# services_by_packet.sh once more, where nodes reach each other's pods by the overlay, and programs masquerade.
# devices: netkit
export SERVICES_ROUTING=overlay SERVICES_MASQUERADE=bpf
. "$(dirname "$0")/services_by_packet.sh"
