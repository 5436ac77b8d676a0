#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In a machine whose kernel has debug.config: run a command, then look for leaks. dev/kernel debug reads the kernel's log.
# Usage: kernel-patches/tests/debug.sh command [argument…]
#        kernel-patches/tests/debug.sh --provoke    a warning and a use after free, which whoever reads the log must see
set -euo pipefail

dmesg -n 8   # every message to the console, which is the machine's log
mount -t debugfs debugfs /sys/kernel/debug
if [ "${1:-}" = --provoke ]; then
  for mistake in WARNING WRITE_AFTER_FREE; do
    echo "$mistake" > /sys/kernel/debug/provoke-crash/DIRECT || true   # ends who asks for it
  done
  exit 0
fi

kmemleak=/sys/kernel/debug/kmemleak
sleep 6
echo clear > "$kmemleak"   # what the kernel's own start left
status=0
"$@" || status=$?
# Only what is some seconds old is reported, and callbacks of RCU still hold what they are about to free.
sleep 10
for _ in 1 2; do
  echo scan > "$kmemleak"
  sleep 6
done
if grep -q unreferenced "$kmemleak"; then
  echo "LEAK:"
  cat "$kmemleak"
  status=1
fi
# It ends with the first report, and with tables that are full.
if ! grep -q 'debug_locks: *1$' /proc/lockdep_stats; then
  echo "lockdep has given up"
  status=1
fi
exit "$status"
