# SPDX-License-Identifier: Apache-2.0
# What every target of ours shares: warnings as errors, the include root, the sanitizers.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
pkg_check_modules(LIBNL REQUIRED IMPORTED_TARGET libnl-3.0)
pkg_check_modules(LIBBPF REQUIRED libbpf>=1.3)
find_path(TL_EXPECTED_INCLUDE tl/expected.hpp REQUIRED)
find_library(LIBBPF_ARCHIVE libbpf.a REQUIRED)
find_library(LIBELF elf REQUIRED)
find_library(LIBZ z REQUIRED)

add_library(netkite_options INTERFACE)
target_include_directories(netkite_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(netkite_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
  -Wnon-virtual-dtor -Wold-style-cast -Wcast-align -Woverloaded-virtual -Wnull-dereference -Werror
  $<$<CONFIG:Release>:-ffunction-sections> $<$<CONFIG:Release>:-fdata-sections>)
# What a designated initializer leaves out is zero: that is why it is left out.
target_compile_options(netkite_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-missing-field-initializers>)
# GCC 12 takes what it inlines of a coroutine's frame for memory of another allocator.
target_compile_options(netkite_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-mismatched-new-delete>)
# libbpf's macros are statement expressions around compound literals, which clang's -Wpedantic names where they are used; and
# libstdc++'s own stable_sort asks for a function that is deprecated.
target_compile_options(netkite_options INTERFACE $<$<CXX_COMPILER_ID:Clang>:-Wno-gnu-statement-expression-from-macro-expansion
  -Wno-c99-extensions -Wno-missing-designated-field-initializers -Wno-deprecated-declarations>)
target_link_options(netkite_options INTERFACE $<$<CONFIG:Release>:-Wl,--gc-sections>)
if(NETKITE_SANITIZE)
  target_compile_options(netkite_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(netkite_options INTERFACE -fsanitize=address,undefined)
endif()

# libbpf comes as an archive: the stock library of Debian 12 has no netkit or tcx links, and the agent must run there.
add_library(netkite_libbpf INTERFACE)
target_link_libraries(netkite_libbpf INTERFACE ${LIBBPF_ARCHIVE} ${LIBELF} ${LIBZ})

# netkite_library(<name> SOURCES <file>… [DEPENDS <target>…]): a static library of one room.
function(netkite_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC netkite_options ${arg_DEPENDS})
endfunction()
