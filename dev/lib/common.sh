# SPDX-License-Identifier: Apache-2.0
# Shared by the commands in dev/: where things are, and how to say what happens. Source it, do not run it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${NETKITE_CACHE:-/var/cache/netkite}

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || die "run this as root: sudo $0 $*"; }
