# SPDX-License-Identifier: Apache-2.0
# Run by BpfObject.cmake at build time: BPFTOOL, OBJECT, NAME -> SKELETON.
execute_process(COMMAND ${BPFTOOL} gen skeleton ${OBJECT} name ${NAME}
  OUTPUT_VARIABLE text ERROR_VARIABLE problem RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "bpftool gen skeleton ${OBJECT}: ${problem}")
endif()
file(WRITE ${SKELETON} "#include \"bpf/abi/netkite.h\"\n" "${text}")
