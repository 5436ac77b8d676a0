# SPDX-License-Identifier: Apache-2.0
# netkite_bpf_object(<name> SOURCE <file>): a .bpf.c -> object -> skeleton.
# Gives an INTERFACE target bpf_<name>; whoever links it may `#include "skel/<name>.skel.h"` (<name>__open(), …). The
# skeleton includes bpf/abi/netkite.h itself, since it holds the programs' constants by their types. The object stays
# beside it as <name>.bpf.o, with BTF and without DWARF.
find_program(BPF_CLANG NAMES clang-22 clang-21 clang-20 clang-19 clang-18 clang-17 clang REQUIRED
  DOC "clang with a BPF target, 17 or newer")
find_program(BPF_STRIP NAMES llvm-strip-22 llvm-strip-21 llvm-strip-20 llvm-strip-19 llvm-strip-18 llvm-strip-17 llvm-strip
  REQUIRED)
find_program(BPFTOOL bpftool PATHS /usr/sbin /sbin REQUIRED)

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH NETKITE_SOURCE)
set(BPF_FLAGS -target bpf -mcpu=v3 -std=gnu11 -O2 -g -Wall -Wextra -Werror -I${NETKITE_SOURCE} -I${NETKITE_SOURCE}/bpf)
if(CMAKE_C_LIBRARY_ARCHITECTURE)
  # asm/types.h of a multiarch distribution: the BPF target has no such folder of its own.
  list(APPEND BPF_FLAGS -isystem /usr/include/${CMAKE_C_LIBRARY_ARCHITECTURE})
endif()

function(netkite_bpf_object name)
  cmake_parse_arguments(arg "" "SOURCE" "" ${ARGN})
  cmake_path(ABSOLUTE_PATH arg_SOURCE OUTPUT_VARIABLE source)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/skel/${name}.skel.h)
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/skel)

  add_custom_command(OUTPUT ${object}
    COMMAND ${BPF_CLANG} ${BPF_FLAGS} -MD -MF ${object}.d -MT ${object} -c ${source} -o ${object}
    COMMAND ${BPF_STRIP} -g ${object}
    DEPENDS ${source}
    DEPFILE ${object}.d
    COMMENT "BPF ${name}"
    VERBATIM)
  add_custom_command(OUTPUT ${skeleton}
    COMMAND ${CMAKE_COMMAND} -DBPFTOOL=${BPFTOOL} -DOBJECT=${object} -DNAME=${name} -DSKELETON=${skeleton}
      -P ${NETKITE_SOURCE}/cmake/BpfSkeleton.cmake
    DEPENDS ${object} ${NETKITE_SOURCE}/cmake/BpfSkeleton.cmake
    COMMENT "BPF skeleton ${name}"
    VERBATIM)
  add_custom_target(bpf_${name}_skeleton DEPENDS ${skeleton})

  add_library(bpf_${name} INTERFACE)
  add_dependencies(bpf_${name} bpf_${name}_skeleton)
  target_include_directories(bpf_${name} SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR})
  target_link_libraries(bpf_${name} INTERFACE netkite_libbpf)
endfunction()
