# SPDX-License-Identifier: Apache-2.0
# Kernels from Debian's source and our series, below $cache/kernel/<series>. Source it after common.sh.
#
#   kernel_series                   those of kernel-patches/, the newest last
#   kernel_fetch SERIES             Debian's source, unpacked: pristine/, never written to
#   kernel_build SERIES FLAVOUR     compiles what is not there yet; prints a folder for dev/vm --kernel
#   kernel_check SERIES             every patch: applies, compiles without a warning, passes checkpatch
#
# A flavour is "stock" or "patched", with "-debug" behind it for the checks of debug.config. A built kernel's folder
# carries a key in its name: the hash of everything that it is made from.

patches=$root/kernel-patches
export CCACHE_DIR=${CCACHE_DIR:-$cache/ccache-kernel}
export CCACHE_NOHASHDIR=yes   # debug information names the folder: one tree's objects are good for the next
jobs=${NETKITE_JOBS:-$(nproc)}

kernel_series() { (cd "$patches" && printf '%s\n' linux-* | sed 's/^linux-//' | sort -V); }

kernel_fetch() {
  [ -e "$patches/linux-$1/series" ] || die "no series for $1: kernel-patches/ has $(cd "$patches" && echo linux-*)"
  "$root/dev/setup" kernel "$1"
}

kernel_folder() { echo "$cache/kernel/$1"; }
series_patches() { sed 's/#.*//; /^[[:space:]]*$/d' "$patches/linux-$1/series"; }

# "check" is for compiling single objects: what only costs time there is left out. What a series calls otherwise comes last
# and counts.
kernel_configs() {
  local series=$1 flavour=$2
  echo "$patches/config/lab.config"
  [ "$flavour" = check ] || echo "$patches/config/trace.config"
  [[ $flavour != *-debug ]] || echo "$patches/config/debug.config"
  [ ! -e "$patches/linux-$series/config" ] || echo "$patches/linux-$series/config"
}

# Its lines, the last one of each option.
kernel_options() {
  awk -F = '/^CONFIG_/ { line[$1] = $0 } END { for (option in line) print line[option] }' $(kernel_configs "$@") | sort
}

kernel_key() {
  local series=$1 flavour=$2 patch
  {
    cat "$(kernel_folder "$series")/version"
    gcc --version | head -1
    kernel_options "$series" "$flavour"
    [[ $flavour != *-debug ]] || cat "$patches/tests/inject.c"
    if [[ $flavour = patched* ]]; then
      # Their messages do not matter.
      for patch in $(series_patches "$series"); do sed '1,/^---$/d; /^index /d' "$patches/linux-$series/$patch"; done
    fi
  } | sha256sum | cut -c 1-16
}

# A tree of hard links to the pristine one: patch replaces files, so those stay as they are; objects go to build/.
make_tree() {
  local series=$1 tree=$2
  rm -rf "$tree"
  cp -al "$(kernel_folder "$series")/pristine" "$tree"
  mkdir "$tree/build"
}

# A patch must fit exactly: what only fits with fuzz was made for another source.
apply_patch() { patch -s -p1 -F 0 -d "$1" < "$2"; }

add_injection() {
  cp "$patches/tests/inject.c" "$1/net/core/"
  sed -i '$a obj-y += inject.o' "$1/net/core/Makefile"   # a new file: the pristine one stays
}

# Dates and paths out of the objects, so that a second tree finds the first one's in the compiler cache.
kernel_make() {
  local tree=$1
  shift
  make -s -C "$tree" O=build -j "$jobs" CC="ccache gcc" HOSTCC="ccache gcc" KBUILD_BUILD_TIMESTAMP=1970-01-01 \
    KBUILD_BUILD_USER=netkite KBUILD_BUILD_HOST=netkite "$@"
}

# The configuration, and that the kernel took every line of it.
configure() {
  local series=$1 tree=$2 flavour=$3 line lost=
  kernel_make "$tree" allnoconfig > /dev/null
  kernel_options "$series" "$flavour" > "$tree/build/options"
  (cd "$tree" && scripts/kconfig/merge_config.sh -m -O build build/.config build/options) > /dev/null
  kernel_make "$tree" olddefconfig
  while IFS= read -r line; do
    case $line in
      *=n) ! grep -q "^${line%n}" "$tree/build/.config" || lost+=" $line" ;;
      *) grep -qxF -- "$line" "$tree/build/.config" || lost+=" $line" ;;
    esac
  done < "$tree/build/options"
  [ -z "$lost" ] || die "the kernel's configuration does not take:$lost"
}

kernel_build() {
  local series=$1 flavour=$2 folder key target tree patch release
  folder=$(kernel_folder "$series")
  key=$(kernel_key "$series" "$flavour")
  target=$folder/$flavour-$key
  if [ ! -e "$target/.complete" ]; then
    say "compiling Linux $(cat "$folder/version"), $flavour"
    tree=$folder/tree-$flavour
    make_tree "$series" "$tree"
    if [[ $flavour = patched* ]]; then
      for patch in $(series_patches "$series"); do
        apply_patch "$tree" "$patches/linux-$series/$patch" >&2 || die "$patch does not apply"
      done
    fi
    [[ $flavour != *-debug ]] || add_injection "$tree"
    configure "$series" "$tree" "$flavour" >&2
    # The name says what runs; the folders of dev/vm are looked up by it.
    release=$(kernel_make "$tree" kernelversion)-netkite-$flavour
    "$tree/scripts/config" --file "$tree/build/.config" --set-str LOCALVERSION "-netkite-$flavour"
    kernel_make "$tree" olddefconfig bzImage > "$folder/$flavour.log" 2>&1 \
      || { grep -E 'error|warning' "$folder/$flavour.log" | head -20 >&2; die "it does not compile: $folder/$flavour.log"; }
    rm -rf "$folder/$flavour"-????????????????
    mkdir -p "$target/boot" "$target/lib/modules/$release"
    cp "$tree/build/arch/x86/boot/bzImage" "$target/boot/vmlinuz-$release"
    cp "$tree/build/vmlinux" "$target/boot/"
    touch "$target/.complete"
    rm -rf "$tree"
  fi
  echo "$target"
}

# Objects that a series changes, listed in its folder: every source file that a patch touches must be among them.
series_objects() {
  local series=$1 objects file
  objects=$(sed 's/#.*//' "$patches/linux-$series/objects")
  for file in $(series_patches "$series" | sed "s|^|$patches/linux-$series/|" | xargs sed -n 's|^+++ b/\(.*\)\.c$|\1.o|p' | sort -u); do
    [[ " $(echo $objects) " = *" $file "* ]] || die "kernel-patches/linux-$series/objects lacks $file"
  done
  echo $objects
}

kernel_check() {
  local series=$1 tree objects patch problems=0 log
  tree=$(kernel_folder "$series")/tree-check
  objects=$(series_objects "$series")
  log=$(kernel_folder "$series")/check.log
  make_tree "$series" "$tree"
  configure "$series" "$tree" check
  kernel_make "$tree" KCFLAGS=-Werror $objects > "$log" 2>&1 || { tail -20 "$log" >&2; die "the unpatched source does not compile"; }
  for patch in $(series_patches "$series"); do
    if ! apply_patch "$tree" "$patches/linux-$series/$patch"; then
      echo "FAIL $series/$patch: does not apply"
      problems=1
      break
    fi
    if ! kernel_make "$tree" KCFLAGS=-Werror $objects > "$log" 2>&1; then
      echo "FAIL $series/$patch: does not compile without a warning"
      tail -20 "$log" | sed 's/^/    | /'
      problems=1
    fi
    # What it may complain about is named, with the reason, at the head of the series file.
    if ! "$tree/scripts/checkpatch.pl" --strict --no-summary --show-types --root="$tree" \
      $(sed -n 's/^# checkpatch \([A-Z_]*\): .*/--ignore \1/p' "$patches/linux-$series/series") \
      "$patches/linux-$series/$patch" > "$log" 2>&1; then
      echo "FAIL $series/$patch: checkpatch --strict"
      sed 's/^/    | /' "$log"
      problems=1
    fi
    [ "$problems" = 1 ] || echo "PASS $series/$patch"
  done
  rm -rf "$tree"
  return "$problems"
}
