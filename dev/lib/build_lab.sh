# SPDX-License-Identifier: Apache-2.0
# Builds what the demonstration, the benchmarks and CI's laboratories run: the release preset, and the test tools with it.

# What laboratories run (lab_open in lab.sh).
lab_programs=(netkite-agent netkite-cni netkite nk-probe nk-cni nk-socket nk-packet nk-foreign nk-wire)

# [target…]: only those. Prints the build's folder. Repeated: a second.
build_for_lab() {
  local folder=$root/build/release log=$cache/build.log
  [ $# -gt 0 ] || set -- "${lab_programs[@]}"
  mkdir -p "$cache"
  say "building (release)"
  {
    cmake -S "$root" --preset release -DNETKITE_TESTS=ON &&
      cmake --build "$folder" ${NETKITE_JOBS:+-j "$NETKITE_JOBS"} --target "$@"
  } > "$log" 2>&1 || { tail -20 "$log" >&2; die "the build failed: $log"; }
  echo "$folder"
}
