#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nodeport_dsr.sh once more, where pods of the other node are reached natively, and only clients are led by the overlay.
# devices: netkit veth
export DSR_ROUTING=auto
. "$(dirname "$0")/nodeport_dsr.sh"
