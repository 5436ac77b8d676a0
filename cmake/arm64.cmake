# SPDX-License-Identifier: Apache-2.0
# Toolchain: Debian's cross compiler, and the libraries that dev/setup arm64 unpacks to $NETKITE_ARM64_ROOT.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

set(root $ENV{NETKITE_ARM64_ROOT})
set(CMAKE_FIND_ROOT_PATH ${root})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${root})
set(ENV{PKG_CONFIG_LIBDIR} ${root}/usr/lib/aarch64-linux-gnu/pkgconfig:${root}/usr/share/pkgconfig)

# What only libraries need is not unpacked.
add_link_options(-L${root}/usr/lib/aarch64-linux-gnu -L${root}/lib/aarch64-linux-gnu -Wl,--allow-shlib-undefined)
include_directories(SYSTEM ${root}/usr/include ${root}/usr/include/aarch64-linux-gnu)
